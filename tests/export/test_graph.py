"""What a traced network loses on its way to ONNX: nothing that counts."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from safetensors.numpy import load, save
from torch import Tensor, nn

from fewstep.engine.reading.safetensors_header import read_header
from fewstep.export.checkpoints.files import map_tensors
from fewstep.export.component import graph_error
from fewstep.export.graph import export_graph, trace
from fewstep.export.stand_ins import StandIns, release
from fewstep.export.weights import move_weights


class Small(nn.Module):
    """Numbers next to those that do nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, N)"""
        return x / (x.sum(1, keepdim=True) + 1e-15) * 1.000008


class Squeezed(nn.Module):
    """Of two axes, one of them 1."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 3, 1, N) -> (B, 3, N)"""
        return torch.sin(x.squeeze(1).squeeze(2)).squeeze(-1)


class Frequencies(nn.Module):
    """As a network tells times apart."""

    def forward(self, t: Tensor) -> Tensor:
        """t: (B,) -> (B, 160)"""
        return torch.cos(t[:, None] * torch.exp(-torch.arange(160) * 0.0577))


class Masked(nn.Module):
    """One mask for every query."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, H, N, D), mask: (B, N), added to the scores"""
        return nn.functional.scaled_dot_product_attention(x, x, x, mask[:, None, None])


def run(model: onnx.ModelProto, **inputs: Tensor) -> Tensor:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return torch.from_numpy(np.asarray(found))


def test_a_number_next_to_0_or_1_is_kept() -> None:
    x = torch.stack([torch.zeros(4), torch.arange(1.0, 5.0)])
    found = run(export_graph(Small(), {"x": x}, "y"), x=x)
    assert torch.equal(found[0], torch.zeros(4))
    torch.testing.assert_close(found[1], Small()(x)[1], rtol=2e-7, atol=0)


def test_constant_curves_are_pytorchs_to_the_bit() -> None:
    model = export_graph(Frequencies(), {"t": torch.tensor([999.0, 1.0])}, "y")
    assert "Exp" not in [node.op_type for node in model.graph.node]
    (table,) = (onnx.numpy_helper.to_array(one) for one in model.graph.initializer if 160 in one.dims)
    expected = torch.exp(-torch.arange(160) * 0.0577).numpy()
    assert np.array_equal(table.ravel(), expected)
    assert not np.array_equal(expected, np.exp(-np.arange(160) * np.float32(0.0577)).astype(np.float32))


def test_only_an_axis_of_1_is_squeezed() -> None:
    x = torch.randn(2, 3, 1, 4)
    torch.testing.assert_close(run(export_graph(Squeezed(), {"x": x}, "y"), x=x), Squeezed()(x))


def test_the_attention_of_opset_23_has_a_mask_that_onnxruntime_takes() -> None:
    x, mask = torch.randn(2, 2, 5, 4), torch.randn(2, 5)
    model = export_graph(Masked(), {"x": x, "mask": mask}, "y", opset=23)
    assert "Attention" in {node.op_type for node in model.graph.node}
    torch.testing.assert_close(run(model, x=x, mask=mask), Masked()(x, mask))


class Turned(nn.Module):
    """Whose weight is folded to one that lies the other way round."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(rows, columns))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 3, columns) -> (B, 3, rows)"""
        return nn.functional.linear(x, self.weight)


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("shape", [(40, 32), (300, 288)], ids=["met", "unread"])
def test_weights_are_saved_row_by_row_however_they_lie(dtype: str, shape: tuple[int, int], tmp_path: Path) -> None:
    network, x, file = Turned(*shape), torch.randn(2, 3, shape[1]), "w.safetensors"
    before = network.weight.detach().clone()
    stand_ins = StandIns(network, dtype)
    model = trace(network, {"x": x}, "y")
    stand_ins.find(model)
    moved = move_weights(model, file, dtype, stand_ins.read)
    weights = b"".join(moved.chunks)
    (tmp_path / file).write_bytes(weights)
    stand_ins.restore(map_tensors(tmp_path / file, file))
    (initializer,) = onnx.load_from_string(moved.graph).graph.initializer
    assert tuple(initializer.dims) == shape[::-1]
    assert torch.equal(network.weight.float(), before.half().float() if dtype == "fp16" else before)
    assert len(weights) >= before.nbytes // (1 + (dtype == "fp16")) > len(moved.graph)
    assert graph_error(moved.graph, {file: weights}, network, {"x": x}) < 1e-6
    names = [tensor.name for tensor in read_header(weights, file)]
    assert weights == save({name: load(weights)[name] for name in names}, metadata={"format": "pt"})


class Tied(nn.Module):
    """One weight in two places, and one that is used nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(257, 257) for _ in range(3))
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 257) -> (B, 257)"""
        y: Tensor = self.second(torch.tanh(self.first(x)))
        return y + self.first.weight.sum(0)


def test_a_weight_in_two_places_is_written_once_and_stays_one(tmp_path: Path) -> None:
    network, x, file = Tied(), torch.randn(2, 257), "w.safetensors"
    unused = network.third.weight.detach().clone()
    stand_ins = StandIns(network, "fp16")
    model = trace(network, {"x": x}, "y")
    stand_ins.find(model)
    moved = move_weights(model, file, "fp16", stand_ins.read)
    weights = b"".join(moved.chunks)
    assert len(weights) < 2.1 * 257 * 257 * 2
    (tmp_path / file).write_bytes(weights)
    stand_ins.restore(map_tensors(tmp_path / file, file))
    assert network.first.weight is network.second.weight
    assert torch.equal(network.third.weight, unused.half().float())
    assert graph_error(moved.graph, {file: weights}, network, {"x": x}) < 1e-6
    release(network)
    assert network.first.weight.is_meta and network.first.weight is network.second.weight

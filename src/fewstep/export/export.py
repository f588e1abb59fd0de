"""From a checkpoint to a bundle."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import Component, StateSpec, TensorSpec
from fewstep.engine.checks import choice, refuse
from fewstep.engine.reading.manifest_reader import DENOISER, FILE
from fewstep.engine.telemetry import refuse_telemetry
from fewstep.errors import BackendError
from fewstep.export.bundle import check_target, write_bundle
from fewstep.export.checkpoint import read_checkpoint
from fewstep.export.config import CONTRACT
from fewstep.export.families.trigflow_unet import TrigFlowUNet
from fewstep.export.graph import BATCH, export_graph
from fewstep.export.staging.comparison import staged_error
from fewstep.export.staging.report import Saving, bundle_saving
from fewstep.export.staging.stage_files import STAGE_FILES, add_stages
from fewstep.export.weights import STORED, move_weights, round_weights

if TYPE_CHECKING:
    import onnxruntime as ort

FAMILY = "trigflow-unet"
GRAPH, WEIGHTS = "denoiser.onnx", "denoiser.safetensors"
TOLERANCE = 1e-4  # of the largest output; the graph and PyTorch sum in other orders
STAGED_TOLERANCE = 1e-5  # of the largest output; the stages and the whole round alike but for the sizes of batches


@dataclass(frozen=True)
class Export:
    """relative_error: of the graph in onnxruntime to the PyTorch network of the stored weights, max over max.

    saving: what its stages take out of the loop.
    """

    bundle: Bundle
    dtype: str
    relative_error: float
    saving: Saving | None


def export_checkpoint(
    path: str | os.PathLike[str], out: str | os.PathLike[str], *, dtype: str = "fp16", overwrite: bool = False
) -> Export:
    """Exports the checkpoint `path` to the bundle folder `out`.

    dtype: how large weights are stored, "fp16" or "fp32"; either is computed with in float32. The same checkpoint gives
    the same bytes. Raises InputError for a wrong checkpoint, OutputError if `out` cannot be written, BackendError if
    the graph does not compute what the network does.
    """
    choice("dtype", dtype, STORED)
    check_target(Path(out), overwrite)
    checkpoint = read_checkpoint(path)
    if clash := {GRAPH, WEIGHTS, FILE, *STAGE_FILES.values()} & checkpoint.files.keys():
        raise refuse(f"{CONTRACT}: include", "other names than those of the bundle's own files", sorted(clash))
    network = checkpoint.network
    round_weights(network, dtype)
    graph, weights = move_weights(export_graph(network, example(network, 2), "F"), WEIGHTS, dtype)
    relative_error = compare(graph, weights, network)
    if not relative_error <= TOLERANCE:
        raise BackendError(
            f"the exported graph differs from the network by {relative_error:.1e}, allowed {TOLERANCE:.0e}"
        )
    side, labels = network.config.image_size, len(network.config.labels)
    state = (3, side, side)
    component = Component(
        graph=GRAPH,
        weights=(WEIGHTS,),
        inputs=(
            TensorSpec("x", "float32", (BATCH, *state)),
            TensorSpec("t", "float32", (BATCH,)),
            TensorSpec("labels", "int64", (BATCH, labels)),
        ),
        outputs=(TensorSpec("F", "float32", (BATCH, *state)),),
    )
    component, stages = add_stages(component, graph)
    _check_stages(component, graph, stages, weights, network)
    files = {GRAPH: graph, WEIGHTS: weights, **stages, **checkpoint.files}
    bundle = write_bundle(
        out, checkpoint.contract, FAMILY, StateSpec(state), {DENOISER: component}, files, overwrite=overwrite
    )
    return Export(bundle, dtype, relative_error, bundle_saving(bundle, DENOISER))


def example(network: TrigFlowUNet, B: int) -> dict[str, Tensor]:
    """Inputs x: (B, 3, H, W), t: (B,) over its range, labels: (B, L), the same each time."""
    generator = torch.Generator().manual_seed(0)
    side = network.config.image_size
    return {
        "x": torch.randn(B, 3, side, side, generator=generator),
        "t": torch.linspace(0, torch.pi / 2, B + 1)[1:],
        "labels": torch.stack([torch.randint(n + 1, (B,), generator=generator) for n in network.config.labels], dim=1),
    }


def compare(graph: bytes, weights: bytes, network: TrigFlowUNet) -> float:
    """The largest error of the graph in onnxruntime over the network's largest output, for batches of 1 and 3."""
    refuse_telemetry()
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_external_initializers_from_files_in_memory([WEIGHTS], [weights], [len(weights)])
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return max(_relative_error(session, network, example(network, B)) for B in (1, 3))


def _check_stages(
    component: Component, graph: bytes, files: Mapping[str, bytes], weights: bytes, network: TrigFlowUNet
) -> None:
    """Raises BackendError unless the stages compute what the whole graph does, for two images and three times."""
    stages = {name: files[stage.graph] for name, stage in component.stages.items()}
    given = {name: tensor.numpy() for name, tensor in example(network, 2).items()}
    times = example(network, 3)[component.inputs[1].name].numpy()
    del given[component.inputs[1].name]
    error = staged_error(graph, stages, {WEIGHTS: weights}, given, component.inputs[1].name, times)
    if not error <= STAGED_TOLERANCE:
        raise BackendError(f"the stages differ from the whole graph by {error:.1e}, allowed {STAGED_TOLERANCE:.0e}")


def _relative_error(session: "ort.InferenceSession", network: nn.Module, inputs: dict[str, Tensor]) -> float:
    (found,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    with torch.no_grad():
        expected = network(*inputs.values())
    error = (torch.from_numpy(found) - expected).abs().max() / expected.abs().max().clamp(min=1e-30)
    return float(error)

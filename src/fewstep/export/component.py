"""One PyTorch network as a bundle's component: its graph, its weights, and that they compute what it does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fewstep.engine.bundle_manifest import DENOISER, Component, TensorSpec
from fewstep.engine.reading.tensors_reader import BATCH
from fewstep.errors import BackendError
from fewstep.export.bundle import NewBundle
from fewstep.export.checkpoints.files import map_file, tensors_in
from fewstep.export.graph import trace
from fewstep.export.staging.comparison import Files, OpenGraph, staged_error
from fewstep.export.staging.stage_files import add_stages
from fewstep.export.stand_ins import StandIns
from fewstep.export.weights import move_weights

TOLERANCE = 1e-4  # of the largest output; the graph and PyTorch sum in other orders
STAGED_TOLERANCE = 1e-5  # of the largest output; the stages and the whole round alike but for the sizes of batches
BATCHES = (2, 1, 3)  # of the examples; the first is traced
Examples = Mapping[str, Tensor]


@dataclass(frozen=True)
class Made:
    """relative_error: of the graph in onnxruntime to the network, max over max."""

    component: Component
    relative_error: float


def make_component(
    folder: NewBundle,
    name: str,
    network: nn.Module,
    examples: Sequence[Examples],
    outputs: Sequence[str],
    *,
    dtype: str,
    file: str = "",
) -> Made:
    """Writes its graph, its weights and, of a denoiser, its stages. The network has the weights as written then.

    examples: inputs of BATCHES images, by name, in order. dtype: of the large weights as stored, "fp16" or "fp32".
    file: what its files are called, by default the component's name. One weight at a time is in memory: the file is
    written first, and the network and the graph both read it where it lies.

    Raises BackendError where the graph is not the network, InputError for a weight that the dtype cannot hold,
    OutputError.
    """
    graph_file, weights_file = f"{file or name}.onnx", f"{file or name}.safetensors"
    stand_ins = StandIns(network, dtype)
    model = trace(network, examples[0], outputs)
    stand_ins.find(model)
    moved = move_weights(model, weights_file, dtype, stand_ins.read)
    folder.write(weights_file, moved.chunks)
    folder.write(graph_file, [moved.graph])
    weights = {weights_file: map_file(folder.path / weights_file, weights_file)}
    stand_ins.restore(tensors_in(weights[weights_file], weights_file))
    component = Component(
        graph=graph_file,
        weights=(weights_file,),
        inputs=tuple(_spec(key, value) for key, value in examples[0].items()),
        outputs=tuple(_spec(key, value) for key, value in zip(outputs, _run(network, examples[0]), strict=True)),
    )
    error = max(graph_error(moved.graph, weights, network, inputs) for inputs in examples[1:])
    if not error <= TOLERANCE:
        raise BackendError(f"the exported {name} differs from the network by {error:.1e}, allowed {TOLERANCE:.0e}")
    if name == DENOISER:
        component, stages = add_stages(component, moved.graph)
        for stage_file, graph in stages.items():
            folder.write(stage_file, [graph])
        graphs = {stage: stages[part.graph] for stage, part in component.stages.items()}
        _check_stages(component, moved.graph, graphs, weights, examples[0], examples[-1])
    return Made(component, error)


def _spec(name: str, value: Tensor) -> TensorSpec:
    return TensorSpec(name, str(value.dtype).removeprefix("torch."), (BATCH, *value.shape[1:]))


@torch.no_grad()
def _run(network: nn.Module, inputs: Examples) -> tuple[Tensor, ...]:
    made = network(*inputs.values())
    return made if isinstance(made, tuple) else (made,)


def graph_error(graph: bytes, weights: Files, network: nn.Module, inputs: Examples) -> float:
    """The largest error of a graph's outputs in onnxruntime, over the network's largest value in them."""
    found = OpenGraph(graph, weights).run({name: tensor.numpy() for name, tensor in inputs.items()})
    pairs = [
        (torch.from_numpy(a).double(), b.double()) for a, b in zip(found.values(), _run(network, inputs), strict=True)
    ]
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-30)) for a, b in pairs)


def _check_stages(
    component: Component, whole: bytes, stages: Mapping[str, bytes], weights: Files, given: Examples, times: Examples
) -> None:
    """Raises BackendError unless the stages compute what the whole graph does, for two images and three times."""
    time = component.inputs[1].name
    inputs = {name: tensor.numpy() for name, tensor in given.items() if name != time}
    error = staged_error(whole, stages, weights, inputs, time, times[time].numpy())
    if not error <= STAGED_TOLERANCE:
        raise BackendError(f"the stages differ from the whole graph by {error:.1e}, allowed {STAGED_TOLERANCE:.0e}")

"""The stages of a bundle's component as graph files beside the whole one, whose weights they share."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx
import onnx_ir as ir

from fewstep.engine.bundle_manifest import STAGES, Component, Stage, TensorSpec
from fewstep.engine.reading.tensors_reader import BATCH
from fewstep.export.staging.binding import Binding
from fewstep.export.staging.stage import stage

STAGE_FILES = {name: f"{name}.onnx" for name in STAGES}


def add_stages(component: Component, graph: bytes) -> tuple[Component, dict[str, bytes]]:
    """(the component with its stages, file name -> graph). graph: its bytes; they must name weights, not hold them.

    The same graph gives the same bytes. No weight is read.
    """
    parts = stage(ir.from_proto(onnx.load_from_string(graph)), input_bindings(component))
    files = {STAGE_FILES[name]: _serialize(part) for name, part in parts.items()}
    stages = {
        name: Stage(STAGE_FILES[name], _specs(part.graph.inputs), _specs(part.graph.outputs))
        for name, part in parts.items()
    }
    return replace(component, stages=stages), files


def input_bindings(component: Component) -> Mapping[str, Binding]:
    """A denoiser's inputs are the state, the time, and what the prompt is made of."""
    state, time, *prompt = (tensor.name for tensor in component.inputs)
    return {state: Binding.STATE, time: Binding.TIME, **dict.fromkeys(prompt, Binding.PROMPT)}


def _serialize(part: ir.Model) -> bytes:
    model = ir.to_proto(part)
    del model.graph.value_info[:]  # onnxruntime infers those again
    for value in (*model.graph.input, *model.graph.output, *model.graph.node):
        del value.metadata_props[:]
    return bytes(model.SerializeToString(deterministic=True))


def _specs(values: Sequence[ir.Value]) -> tuple[TensorSpec, ...]:
    found = []
    for value in values:
        assert value.name is not None and value.dtype is not None and value.shape is not None
        sizes = [size for size in value.shape[1:] if isinstance(size, int)]
        found.append(TensorSpec(value.name, str(value.dtype.numpy()), (BATCH, *sizes)))
    return tuple(found)

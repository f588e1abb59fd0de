"""Checks that an ONNX graph is the component that bundle.json describes and that its weights are the bundle's own."""

from collections.abc import Collection, Mapping, Sequence

from fewstep.engine.bundle_manifest import Component, Stage
from fewstep.engine.checks import refuse, short
from fewstep.engine.reading.onnx_graph import External, read_graph
from fewstep.engine.reading.safetensors_header import Tensor
from fewstep.errors import InputError

# TensorProto.DataType -> safetensors' name
DTYPES: Mapping[int, str] = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64", 12: "U32",
    13: "U64", 16: "BF16",
}  # fmt: skip
Places = Mapping[tuple[str, int], Tensor]


def check_graph(data: bytes, component: Component | Stage, weights: Mapping[str, Sequence[Tensor]]) -> None:
    """Raises InputError unless `data` is an ONNX model with the component's inputs and outputs whose every external
    tensor is, in place, length, dtype and shape, a tensor of `weights` (file name -> its tensors).
    """
    graph = read_graph(data, component.graph)
    inputs = [name for name in graph.inputs if name not in graph.initializers]
    for key, found, tensors in (("inputs", inputs, component.inputs), ("outputs", graph.outputs, component.outputs)):
        expected = [tensor.name for tensor in tensors]
        if found != expected:
            raise refuse(f"{component.graph}: {key}", f"{expected}, as bundle.json says", found)
    places = {(file, tensor.offset): tensor for file, tensors in weights.items() for tensor in tensors if tensor.length}
    for external in graph.external:
        _check_place(external, component.graph, weights.keys(), places)


def _check_place(external: External, graph: str, files: Collection[str], places: Places) -> None:
    where = f"{graph}: weight {short(external.name)}"
    if external.location not in files:
        raise refuse(
            where, f"a place in {', '.join(files) or 'no file, as the component lists none'}", external.location
        )
    tensor = places.get((external.location, external.offset))
    found = (DTYPES.get(external.dtype), external.shape, external.length)
    if tensor is None or found != (tensor.dtype, tensor.shape, tensor.length):
        raise InputError(f"{where}: {found} at byte {external.offset} is not a tensor of {external.location}")

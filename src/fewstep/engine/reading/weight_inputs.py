"""A graph whose weights are inputs: a runtime is handed them where they lie, and makes no copies of its own.

Field numbers are those of onnx.proto3.
"""

from collections.abc import Iterable

from fewstep.engine.reading.onnx_graph import External, read_graph
from fewstep.engine.reading.protobuf import Document, Span
from fewstep.errors import InputError

MAX_FIELDS = 1_000_000
MODEL_GRAPH = 7
GRAPH_INITIALIZER, GRAPH_INPUT = 5, 11
TENSOR_NAME = 8
BYTES = 2  # a wire type


def weight_inputs(data: bytes, name: str) -> tuple[bytes, list[External]]:
    """(the graph with its external tensors as inputs after its own, what they are).

    Raises InputError for one that is no initializer of the main graph, as of a subgraph or an operator's attribute.
    """
    external = read_graph(data, name).external
    wanted = {tensor.name for tensor in external}
    document = Document(data, name, MAX_FIELDS)
    model, found = [], 0
    for number, value, whole in document.whole_fields(document.whole):
        if number == MODEL_GRAPH and isinstance(value, Span):
            graph, moved = _without(document, value, wanted)
            found += moved
            model.append(_field(MODEL_GRAPH, b"".join([*graph, *map(_input, external)])))
        else:
            model.append(document.bytes_of(whole))
    if found != len(external) or len(wanted) != found:
        raise InputError(f"{name}: expected weights as initializers of the graph, each once, got others within it")
    return b"".join(model), external


def _without(document: Document, graph: Span, names: Iterable[str]) -> tuple[list[bytes], int]:
    """The fields of the graph but those initializers, and how many these are."""
    kept, left_out = [], 0
    for number, value, whole in document.whole_fields(graph):
        if number == GRAPH_INITIALIZER and isinstance(value, Span) and _name(document, value) in names:
            left_out += 1
        else:
            kept.append(document.bytes_of(whole))
    return kept, left_out


def _name(document: Document, tensor: Span) -> str:
    spans = [value for number, value in document.fields(tensor) if number == TENSOR_NAME and isinstance(value, Span)]
    return "".join(document.bytes_of(span).decode() for span in spans)


def _input(tensor: External) -> bytes:
    """ValueInfoProto {name, type {tensor_type {elem_type, shape {dim {dim_value}}}}}."""
    dims = b"".join(_field(1, b"\x08" + _varint(size)) for size in tensor.shape)
    kind = b"\x08" + _varint(tensor.dtype) + _field(2, dims)
    return _field(GRAPH_INPUT, _field(1, tensor.name.encode()) + _field(2, _field(1, kind)))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])

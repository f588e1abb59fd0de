"""Walks an ONNX model that nobody has vouched for, and tells what it is made of, without the onnx package.

Field numbers are those of onnx.proto3. Protobuf merges a message that is given twice where the schema has one, so a
tensor could be put together of which no part looks external. Such a message is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fewstep.engine.checks import short
from fewstep.engine.reading.protobuf import Document, Span
from fewstep.errors import InputError

MAX_GRAPH = 1 << 31
MAX_MESSAGES_DEEP = 32
MAX_FIELDS = 1_000_000
MAX_DIMS = 512  # bytes of packed integers
ORT_FORMAT = b"ORTM"  # in bytes 4..8 it makes onnxruntime read another format, which nothing here has checked
OPENS_FILES = b"EPContext"  # an operator that reads a file of its own

ONE, MANY = False, True
# message -> field number -> (message, may be repeated): all ways from a model to its tensors and operators
CHILDREN: Mapping[str, Mapping[int, tuple[str, bool]]] = {
    "model": {7: ("graph", ONE), 8: ("opset", MANY), 20: ("training", MANY), 25: ("function", MANY)},
    "training": {1: ("graph", ONE), 2: ("graph", ONE)},
    "function": {7: ("node", MANY), 11: ("attribute", MANY)},
    "graph": {1: ("node", MANY), 5: ("tensor", MANY), 11: ("input", MANY), 12: ("output", MANY), 15: ("sparse", MANY)},
    "node": {5: ("attribute", MANY)},
    "attribute": {
        5: ("tensor", ONE), 6: ("graph", ONE), 10: ("tensor", MANY), 11: ("graph", MANY),
        22: ("sparse", ONE), 23: ("sparse", MANY),
    },
    "sparse": {1: ("tensor", ONE), 2: ("tensor", ONE)},
}  # fmt: skip
NODE_OP_TYPE = 4
VALUE_NAME = 1
TENSOR_DIMS, TENSOR_DTYPE, TENSOR_NAME, TENSOR_EXTERNAL, TENSOR_LOCATION = 1, 2, 8, 13, 14
ENTRY_KEY, ENTRY_VALUE = 1, 2
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class External:
    """A tensor whose bytes lie in another file. dtype: TensorProto.DataType; offset and length: bytes."""

    name: str
    dtype: int
    shape: tuple[int, ...]
    location: str
    offset: int
    length: int


@dataclass
class Graph:
    """inputs, outputs, initializers: names of the main graph; external: of all graphs and functions."""

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    initializers: set[str] = field(default_factory=set)
    external: list[External] = field(default_factory=list)


def read_graph(data: bytes, name: str) -> Graph:
    """Raises InputError naming the file unless `data` is a whole ONNX model, and one that opens no file of its own."""
    if len(data) > MAX_GRAPH:
        raise InputError(f"{name}: expected at most {MAX_GRAPH} bytes, got {len(data)}")
    if data[4:8] == ORT_FORMAT:
        raise InputError(f"{name}: expected an ONNX model, got onnxruntime's own format")
    walk = _Walk(Document(data, name, MAX_FIELDS))
    walk.visit("model", walk.document.whole, 0)
    if not walk.graph.outputs or not walk.has_opset:
        raise walk.refuse("it has no graph with outputs, or no opset")
    return walk.graph


class _Walk:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.graph = Graph()
        self.has_opset = False

    def refuse(self, why: str) -> InputError:
        return InputError(f"{self.document.name}: not a whole ONNX model that fewstep runs: {why}")

    def visit(self, message: str, span: Span, depth: int) -> None:
        if depth > MAX_MESSAGES_DEEP:
            raise self.refuse(f"messages nested deeper than {MAX_MESSAGES_DEEP}")
        children, seen = CHILDREN[message], set[int]()
        for number, value in self.document.fields(span):
            if message == "node" and number == NODE_OP_TYPE and self._bytes(value) == OPENS_FILES:
                raise self.refuse("an EPContext operator opens a file of its own")
            if number not in children:
                continue
            child, repeated = children[number]
            if not isinstance(value, Span) or (number in seen and not repeated):
                raise self.refuse(f"field {number} of a {message} is malformed or given twice")
            seen.add(number)
            in_main_graph = message == "graph" and depth == 1
            if child == "tensor":
                self._tensor(value, in_main_graph)
            elif child == "opset":
                self.has_opset = True
            elif child in ("input", "output"):
                if in_main_graph:
                    (self.graph.inputs if child == "input" else self.graph.outputs).append(self._value_name(value))
            else:
                self.visit(child, value, depth + 1)

    def _value_name(self, span: Span) -> str:
        return "".join(self._text(value) for number, value in self.document.fields(span) if number == VALUE_NAME)

    def _tensor(self, span: Span, in_main_graph: bool) -> None:
        name, dtype, external = "", 0, False
        shape: list[int] = []
        place: dict[str, str] = {}
        for number, value in self.document.fields(span):
            if number == TENSOR_NAME:
                name = self._text(value)
            elif number == TENSOR_DIMS:
                shape += self._integers(value)
            elif number == TENSOR_DTYPE:
                dtype = self._integer(value)
            elif number == TENSOR_LOCATION:
                external = self._integer(value) != 0
            elif number == TENSOR_EXTERNAL:
                key, text = self._entry(value)
                if key in place:
                    raise self.refuse(f"tensor {short(name)} has two places")
                place[key] = text
        if in_main_graph:
            self.graph.initializers.add(name)
        if not external and not place:
            return
        offset, length = place.get("offset", ""), place.get("length", "")
        whole = external and place.keys() == {"location", "offset", "length"}
        if not whole or not _DECIMAL.fullmatch(offset) or not _DECIMAL.fullmatch(length):
            raise self.refuse(
                f"external tensor {short(name)} needs one location, offset and length, got {short(sorted(place))}"
            )
        self.graph.external.append(External(name, dtype, tuple(shape), place["location"], int(offset), int(length)))

    def _entry(self, value: int | Span) -> tuple[str, str]:
        if not isinstance(value, Span):
            raise self.refuse("an entry of external data is malformed")
        found = {number: self._text(part) for number, part in self.document.fields(value)}
        return found.get(ENTRY_KEY, ""), found.get(ENTRY_VALUE, "")

    def _integers(self, value: int | Span) -> list[int]:
        """Repeated integers come one a field or packed into one."""
        if not isinstance(value, Span):
            return [value]
        if value.end - value.start > MAX_DIMS:
            raise self.refuse("a tensor of more axes than any")
        out, at = [], value.start
        while at < value.end:
            integer, at = self.document.varint(at, value.end)
            out.append(integer)
        return out

    def _integer(self, value: int | Span) -> int:
        if not isinstance(value, int):
            raise self.refuse("a number of a tensor is malformed")
        return value

    def _bytes(self, value: int | Span) -> bytes:
        if not isinstance(value, Span):
            raise self.refuse("a name is malformed")
        return self.document.bytes_of(value)

    def _text(self, value: int | Span) -> str:
        try:
            return self._bytes(value).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.refuse("a name is not UTF-8") from error

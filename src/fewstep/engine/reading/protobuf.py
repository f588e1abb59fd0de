"""The fields of a protobuf message on the wire, for looking into one that nobody has vouched for.

https://protobuf.dev/programming-guides/encoding. A field is (number << 3 | wire type), then its value.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fewstep.errors import InputError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_TAG_BYTES = 5
MAX_VARINT_BYTES = 10


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes start..end of a document: one message, without a copy."""

    start: int
    end: int


class Document:
    """Reads messages of one byte string, and stops after `budget` fields in all, so that time is bounded."""

    def __init__(self, data: bytes, name: str, budget: int) -> None:
        self.data = data
        self.name = name
        self.whole = Span(0, len(data))
        self._budget = budget

    def fields(self, span: Span) -> Iterator[tuple[int, int | Span]]:
        """(number, value) of each field, an int or the span of its bytes. Raises InputError where malformed."""
        return ((number, value) for number, value, _ in self.whole_fields(span))

    def whole_fields(self, span: Span) -> Iterator[tuple[int, int | Span, Span]]:
        """The same with the span of all of the field, its number too."""
        at = span.start
        while at < span.end:
            self._budget -= 1
            if self._budget < 0:
                raise InputError(f"{self.name}: more fields than fewstep reads; it is damaged")
            start = at
            tag, at = self.varint(at, span.end, MAX_TAG_BYTES)
            number, wire = tag >> 3, tag & 7
            if number == 0 or tag >> 32:
                raise self._malformed(start)
            value: int | Span
            if wire == VARINT:
                value, at = self.varint(at, span.end)
            else:
                if wire == BYTES:
                    length, at = self.varint(at, span.end)
                elif wire in (FIXED64, FIXED32):
                    length = 8 if wire == FIXED64 else 4
                else:
                    raise self._malformed(start)
                if length > span.end - at:
                    raise self._malformed(start)
                value = Span(at, at + length)
                at += length
            yield number, value, Span(start, at)

    def varint(self, at: int, end: int, most: int = MAX_VARINT_BYTES) -> tuple[int, int]:
        """(value, where it ends) of the unsigned varint at `at`."""
        value = 0
        for i in range(min(most, end - at)):
            byte = self.data[at + i]
            value |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                return value, at + i + 1
        raise self._malformed(at)

    def bytes_of(self, span: Span) -> bytes:
        return self.data[span.start : span.end]

    def _malformed(self, at: int) -> InputError:
        return InputError(f"{self.name}: not a whole ONNX file: malformed at byte {at} of {len(self.data)}")

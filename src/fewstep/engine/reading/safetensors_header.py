"""The header of a safetensors file, read more strictly than the official library does: what this accepts, it accepts.

Layout: u64 little-endian length N, N bytes of JSON, then the tensors' bytes without holes or overlaps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from mmap import mmap

from fewstep.engine.checks import choice, refuse, sequence, text, whole
from fewstep.engine.reading import strict_json
from fewstep.engine.reading.fields import Fields
from fewstep.errors import InputError

MAX_HEADER = 1 << 21
MAX_ELEMENTS = 1 << 48
MAX_NAME = 512
COLONS = 16  # of a tensor: its entry has 4, and metadata some; what has more is not worth parsing
METADATA = "__metadata__"
ITEM_SIZES: Mapping[str, int] = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1,
    "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4,
    "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """offset: of its first byte in the file; length: in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


def read_header(data: bytes | mmap, file: str) -> list[Tensor]:
    """The tensors of a safetensors file by rising offset. Raises InputError naming `file` and the tensor."""
    return read_container(data, file, MAX_HEADER)[1]


def read_container(
    data: bytes | mmap, file: str, max_header: int, max_tensors: int | None = None
) -> tuple[dict[str, str], list[Tensor]]:
    """The metadata too, of a header of at most max_header bytes and, if given, max_tensors tensors."""
    length, room = int.from_bytes(data[:8], "little"), min(max_header, len(data) - 8)
    if length > room:
        raise InputError(
            f"{file}: expected a safetensors header of at most {max_header} bytes, got {length} of {len(data)}"
        )
    header = data[8 : 8 + length]
    if not header.startswith(b"{"):
        raise refuse(f"{file}: header", "a JSON object", header[:16])
    if max_tensors is not None and (colons := header.count(b":")) > COLONS * max_tensors:
        raise refuse(f"{file}: header", f"at most {max_tensors} tensors", f"{colons} colons")
    entries = strict_json.loads(header, f"{file}: header", max_header)
    metadata = entries.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise refuse(f"{file}: {METADATA}", "an object of strings", metadata)
    if max_tensors is not None and len(entries) > max_tensors:
        raise refuse(f"{file}: header", f"at most {max_tensors} tensors", len(entries))
    start = 8 + length
    tensors = sorted(
        (_tensor(name, entry, start, len(data), file) for name, entry in entries.items()),
        key=lambda tensor: (tensor.offset, tensor.length),
    )
    end = start
    for tensor in tensors:
        if tensor.offset != end:
            raise refuse(f"{file}: {tensor.name}: offset", f"{end - start}, no hole or overlap", tensor.offset - start)
        end += tensor.length
    if end != len(data):
        raise refuse(file, f"{end} bytes, as its header says", len(data))
    return metadata, tensors


def _tensor(name: str, entry: object, start: int, size: int, file: str) -> Tensor:
    fields = Fields(f"{file}: {text(f'{file}: tensor name', name, MAX_NAME)}", entry)
    dtype = fields.take("dtype", choice, ITEM_SIZES)
    shape = tuple(whole(f"{file}: {name}: shape", n, 0, MAX_ELEMENTS) for n in fields.take("shape", sequence, 0, 8))
    if prod(max(n, 1) for n in shape) > MAX_ELEMENTS:  # [2^40, 2^40, 0] overflows in readers that multiply in order
        raise refuse(f"{file}: {name}: shape", f"at most {MAX_ELEMENTS} elements", list(shape))
    offsets = fields.take("data_offsets", sequence, 2, 2)
    begin, end = (whole(f"{file}: {name}: data_offsets", n, 0, size - start) for n in offsets)
    fields.done()
    if end - begin != prod(shape) * ITEM_SIZES[dtype]:
        raise refuse(f"{file}: {name}", f"{prod(shape) * ITEM_SIZES[dtype]} bytes of data", end - begin)
    return Tensor(name, dtype, shape, start + begin, end - begin)

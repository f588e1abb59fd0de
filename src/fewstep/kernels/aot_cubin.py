"""A compiled kernel as data: the image, and everything that a runtime without Python needs to launch it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TensorMap:
    """What cuTensorMapEncodeTiled is called with, but for the address. The innermost axis is last, as in PyTorch.

    elem_type and swizzle are the driver's own enumerations; strides are in elements; interleave is none, element
    strides are 1, and 128 bytes are promoted to L2. The swizzle may limit a box to less than the kernel's block.
    """

    elem_type: int
    elem_size: int  # bytes
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    box: tuple[int, ...]
    swizzle: int
    nan_padding: bool


@dataclass(frozen=True)
class Param:
    """One kernel parameter. kind: ptr, tensormap, or a scalar's u1, i8 to u64, fp16, bf16, fp32, fp64.

    size and align are bytes, of the value in the caller's memory. The value must be a multiple of `multiple`: the code
    relies on it. A tensor map and the sizes and strides that follow it bear the name of their tensor. value: a
    scalar's, as described; None for a pointer, which is bound at run time, and for a tensor map, which is encoded from
    `tensormap` and the bound address.
    """

    name: str
    kind: str
    size: int
    align: int
    multiple: int = 1
    value: int | float | None = None
    tensormap: TensorMap | None = None


@dataclass(frozen=True)
class Cubin:
    """How to launch: cuModuleLoadData(image); cuModuleGetFunction(entry); grid (x * num_ctas, y, z), `threads` to a
    block, `shared` bytes of dynamic shared memory, allowed by the function's attribute where they exceed 48 KiB; params
    in this order.

    1. The last two params are scratch pointers: null, but for the first where scratch_size > 0, which then points to
       scratch_size * blocks bytes aligned to scratch_align (blocks: those of the whole grid, num_ctas included).
    2. num_ctas > 1 is the cluster's size along x.
    3. Architectures of 90 and above are compiled for that one alone ("sm_90a"): the image runs on no other.
    4. spills are the bytes of local memory that each thread uses: what did not fit its registers.
    5. ptx is the same kernel as text, for cuModuleLoadDataEx on any later architecture; of sm_80 alone, else empty.
    """

    kernel: str
    entry: str
    arch: str
    image: bytes
    grid: tuple[int, int, int]
    threads: int
    shared: int
    num_ctas: int
    params: tuple[Param, ...]
    scratch_size: int
    scratch_align: int
    registers: int
    spills: int
    ptx: bytes = b""


def to_dict(cubin: Cubin) -> dict[str, Any]:
    """All but the image and its PTX, ready for JSON."""
    return {name: value for name, value in asdict(cubin).items() if name not in ("image", "ptx")}


def from_dict(fields: Mapping[str, Any], image: bytes, ptx: bytes = b"") -> Cubin:
    """The inverse of to_dict, from what JSON gives back."""
    params = tuple(Param(**{**p, "tensormap": _tensormap(p["tensormap"])}) for p in fields["params"])
    return Cubin(**{**fields, "params": params, "grid": tuple(fields["grid"]), "image": image, "ptx": ptx})


def _tensormap(fields: Mapping[str, Any] | None) -> TensorMap | None:
    if fields is None:
        return None
    shape, strides, box = (tuple(fields[name]) for name in ("shape", "strides", "box"))
    return TensorMap(**{**fields, "shape": shape, "strides": strides, "box": box})

"""What every launcher checks before anything is allocated or launched. Each refusal names expected and got."""

import triton
from torch import Tensor, bfloat16, dtype, float16, float32

from fewstep.errors import InputError

FLOATS = (float16, bfloat16, float32)
MAX_ELEMENTS = 2**40


def check_shape(name: str, x: Tensor, shape: tuple[int | None, ...]) -> None:
    """shape: the expected sizes, None where any positive size is right."""
    right = x.dim() == len(shape) and all(
        got >= 1 and want in (None, got) for got, want in zip(x.shape, shape, strict=True)
    )
    if not right:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise InputError(f"{name}: expected shape ({wanted}), got {tuple(x.shape)}")


def check_dtype(name: str, x: Tensor, allowed: tuple[dtype, ...] = FLOATS) -> None:
    if x.dtype not in allowed:
        raise InputError(f"{name}: expected dtype {' or '.join(map(_bare, allowed))}, got {_bare(x.dtype)}")


def check_range(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name}: expected a whole number from {low} to {high}, got {value!r}")


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name}: expected {' or '.join(map(repr, allowed))}, got {value!r}")


def check_last_contiguous(name: str, x: Tensor) -> None:
    """Stride 1 in the last axis, where it has more than one element."""
    if x.shape[-1] > 1 and x.stride(-1) != 1:
        raise InputError(f"{name}: expected stride 1 in the last axis, got strides {tuple(x.stride())}")


def check_device(**tensors: Tensor | None) -> None:
    """All on one device that kernels run on: CUDA, the CPU in Triton's interpreter, or meta, which only describes."""
    devices = {name: x.device for name, x in tensors.items() if x is not None}
    first = next(iter(devices.values()))
    if any(device != first for device in devices.values()):
        raise InputError(f"expected tensors on one device, got {', '.join(f'{n} on {d}' for n, d in devices.items())}")
    if first.type not in ("cuda", "meta") and not (first.type == "cpu" and triton.knobs.runtime.interpret):
        raise InputError(f"{next(iter(devices))}: expected a CUDA tensor, got one on {first}")
    for name, x in tensors.items():
        if x is not None and x.numel() > MAX_ELEMENTS:
            raise InputError(f"{name}: expected at most {MAX_ELEMENTS} elements, got {x.numel()}")


def _bare(kind: dtype) -> str:
    return str(kind).removeprefix("torch.")

"""Checks of user-given options. Each returns the value in its plain type or raises InputError saying what is legal."""

import math
from collections.abc import Iterable, Sequence
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from fewstep.errors import InputError

Array = NDArray[np.float64]


def refuse(name: str, expected: str, got: object) -> InputError:
    """The one wording of a refused option."""
    return InputError(f"{name}: expected {expected}, got {got!r}")


def is_number(value: object) -> TypeGuard[float]:
    """Whether value is a finite real number, other than a bool, that a float can hold."""
    try:
        return isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)
    except (OverflowError, TypeError):
        return False


def whole(name: str, value: object, low: int, high: int) -> int:
    """An integer of low..high. Floats and bools are refused, even 2.0 and True."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
        raise refuse(name, f"an integer from {low} to {high}", value)
    return int(value)


def real(name: str, value: object, low: float = -math.inf, high: float = math.inf, *, above: bool = False) -> float:
    """A finite number of [low, high], or of (low, high] if `above`."""
    if not is_number(value) or not low <= value <= high or (above and value == low):
        raise refuse(name, f"a finite number in {'(' if above else '['}{low:g}, {high:g}]", value)
    return float(value)


def flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise refuse(name, "True or False", value)
    return value


def clamp_range(clip_sample: object, clip_sample_range: object) -> float:
    """The r of clamp(y, -r, r): inf where nothing is clipped."""
    r = real("clip_sample_range", clip_sample_range, 0, above=True)
    return r if flag("clip_sample", clip_sample) else math.inf


def choice(name: str, value: object, legal: Iterable[str]) -> str:
    names = sorted(legal)
    if not isinstance(value, str) or value not in names:
        raise refuse(name, f"one of {', '.join(names)}", value)
    return value


def numbers(name: str, values: object, length: int | None = None) -> Array:
    """A flat sequence of finite numbers, of the given length."""
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iuf":
        legal = bool(np.isfinite(values).all())
    else:
        legal = isinstance(values, Sequence) and not isinstance(values, str) and all(map(is_number, values))
    if not legal or not isinstance(values, Sequence | np.ndarray):
        raise refuse(name, "a list of finite numbers", values)
    if length is not None and len(values) != length:
        raise refuse(name, f"{length} numbers", values)
    return np.array(values, np.float64)


def descending(name: str, values: object, length: int | None, low: float, high: float) -> Array:
    """Strictly falling numbers of [low, high]."""
    out = numbers(name, values, length)
    if len(out) == 0 or np.any(np.diff(out) >= 0) or out[0] > high or out[-1] < low:
        raise refuse(name, f"strictly descending numbers in [{low:g}, {high:g}]", values)
    return out


def descending_whole(name: str, values: object, length: int | None, low: int, high: int) -> Array:
    """Strictly falling integers of low..high, as float64."""
    out = descending(name, values, length, low, high)
    if np.any(out != np.floor(out)):
        raise refuse(name, "integers", values)
    return out

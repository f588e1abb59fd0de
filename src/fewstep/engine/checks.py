"""Checks of values that a user or a file gave. Each takes where the value stands, then the value; it returns the value
in its plain type or raises InputError saying what is legal.
"""

import math
import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from fewstep.errors import InputError

Array = NDArray[np.float64]
MAX_TEXT = 4096
MAX_SHOWN = 400
MAX_BITS_SHOWN = 128
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = 8
        self.maxstring, self.maxother, self.maxlevel = 200, 80, 4

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write an integer of more than 4300 digits."""
        return repr(x) if x.bit_length() <= MAX_BITS_SHOWN else f"an integer of {x.bit_length()} bits"


_short = _Short()


def short(value: object) -> str:
    """repr(value), cut to about MAX_SHOWN characters however large the value is."""
    shown = _short.repr(value)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}..."


def refuse(where: str, expected: str, got: object) -> InputError:
    """The one wording of a refused value."""
    return InputError(f"{where}: expected {expected}, got {short(got)}")


def is_number(value: object) -> TypeGuard[float]:
    """Whether value is a finite real number, other than a bool, that a float can hold."""
    try:
        return isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)
    except (OverflowError, TypeError):
        return False


def whole(where: str, value: object, low: int, high: int) -> int:
    """An integer of low..high. Floats and bools are refused, even 2.0 and True."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
        raise refuse(where, f"an integer from {low} to {high}", value)
    return int(value)


def real(where: str, value: object, low: float = -math.inf, high: float = math.inf, *, above: bool = False) -> float:
    """A finite number of [low, high], or of (low, high] if `above`."""
    if not is_number(value) or not low <= value <= high or (above and value == low):
        raise refuse(where, _interval(low, high, above), value)
    return float(value)


def _interval(low: float, high: float, above: bool) -> str:
    start = f"{'above' if above else 'from'} {low:g}"
    if high < math.inf:
        return f"a number {start}{' and up' if above else ''} to {high:g}"
    return f"a finite number {start}" if low > -math.inf else "a finite number"


def flag(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise refuse(where, "True or False", value)
    return value


def choice(where: str, value: object, legal: Iterable[str]) -> str:
    names = sorted(legal)
    if not isinstance(value, str) or value not in names:
        raise refuse(where, f"{'one of ' if len(names) > 1 else ''}{', '.join(names)}", value)
    return value


def text(where: str, value: object, max_length: int = MAX_TEXT) -> str:
    """A printable string of one line: no control characters, no lone surrogates, nothing that moves a terminal."""
    if not isinstance(value, str) or not 0 < len(value) <= max_length or not value.isprintable():
        raise refuse(where, f"a printable string of 1 to {max_length} characters", value)
    return value


def identifier(where: str, value: object) -> str:
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise refuse(where, "a name of up to 64 lower-case letters, digits, '.', '_' and '-'", value)
    return value


def file_name(where: str, value: object) -> str:
    """A plain name: no folder, no leading dot, nothing that a file system, a shell or a terminal reads otherwise."""
    if not isinstance(value, str) or not _FILE_NAME.fullmatch(value):
        raise refuse(where, "a plain file name of up to 128 letters, digits, '.', '_' and '-'", value)
    return value


def sequence(where: str, value: object, low: int, high: int) -> Sequence[Any]:
    """A list of low to high values, whatever they are."""
    count = f"{low}" if low == high else f"{low} to {high}"
    if not isinstance(value, list):
        raise refuse(where, f"a list of {count} values", value)
    if not low <= len(value) <= high:
        raise refuse(where, f"{count} values", len(value))
    return value


def distinct(where: str, values: Sequence[str]) -> None:
    if repeated := [value for value, count in Counter(values).items() if count > 1]:
        raise refuse(where, "names that differ", repeated)


def numbers(where: str, values: object, length: int | None = None) -> Array:
    """A flat sequence of finite numbers, of the given length."""
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iuf":
        legal = bool(np.isfinite(values).all())
    else:
        legal = isinstance(values, Sequence) and not isinstance(values, str) and all(map(is_number, values))
    if not legal or not isinstance(values, Sequence | np.ndarray):
        raise refuse(where, "a list of finite numbers", values)
    if length is not None and len(values) != length:
        raise refuse(where, f"{length} numbers", values)
    return np.array(values, np.float64)


def descending(where: str, values: object, length: int | None, low: float, high: float) -> Array:
    """Strictly falling numbers of [low, high]."""
    out = numbers(where, values, length)
    if len(out) == 0 or np.any(np.diff(out) >= 0) or out[0] > high or out[-1] < low:
        raise refuse(where, f"strictly descending numbers in [{low:g}, {high:g}]", values)
    return out


def descending_whole(where: str, values: object, length: int | None, low: int, high: int) -> Array:
    """Strictly falling integers of low..high, as float64."""
    out = descending(where, values, length, low, high)
    if np.any(out != np.floor(out)):
        raise refuse(where, "integers", values)
    return out

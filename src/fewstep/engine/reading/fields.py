"""Typed reading of a JSON object, field by field; whatever is missing, left over or of another type is named."""

import math
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fewstep.errors import InputError

T = TypeVar("T")
MAX_TEXT = 4096
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_short = reprlib.Repr()
_short.maxstring, _short.maxother, _short.maxlong = 200, 80, 40


def refuse(where: str, expected: str, got: object) -> InputError:
    return InputError(f"{where}: expected {expected}, got {_short.repr(got)}")


def text(value: object, where: str, max_length: int = MAX_TEXT) -> str:
    """A printable string of one line: no control characters, no lone surrogates, nothing that moves a terminal."""
    if not isinstance(value, str) or not 0 < len(value) <= max_length or not value.isprintable():
        raise refuse(where, f"a printable string of 1 to {max_length} characters", value)
    return value


def identifier(value: object, where: str) -> str:
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise refuse(where, "a name of up to 64 lower-case letters, digits, '.', '_' and '-'", value)
    return value


def file_name(value: object, where: str) -> str:
    """A plain name: no folder, no leading dot, nothing that a file system, a shell or a terminal reads otherwise."""
    if not isinstance(value, str) or not _FILE_NAME.fullmatch(value):
        raise refuse(where, "a plain file name of up to 128 letters, digits, '.', '_' and '-'", value)
    return value


def one_of(value: object, where: str, legal: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in legal:
        raise refuse(where, f"{'one of ' if len(legal) > 1 else ''}{', '.join(legal)}", value)
    return value


def whole(value: object, where: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise refuse(where, f"an integer from {low} to {high}", value)
    return value


def real(value: object, where: str, low: float = -math.inf, high: float = math.inf) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise refuse(where, f"a number from {low:g} to {high:g}", value)
    return float(value)


def sequence(value: object, where: str, low: int, high: int) -> Sequence[Any]:
    count = f"{low}" if low == high else f"{low} to {high}"
    if not isinstance(value, list):
        raise refuse(where, f"a list of {count} values", value)
    if not low <= len(value) <= high:
        raise refuse(where, f"{count} values", len(value))
    return value


def distinct(values: Sequence[str], where: str) -> None:
    if repeated := [value for value, count in Counter(values).items() if count > 1]:
        raise refuse(where, "names that differ", repeated)


class Fields:
    """A JSON object read by name: take every key it may have, then `done` refuses the rest."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise refuse(where, "an object", value)
        self.where = where
        self._left: dict[str, Any] = dict(value)

    def take(self, key: str, read: Callable[..., T], *args: Any) -> T:
        """read(value, where, *args) of a required key."""
        if key not in self._left:
            raise InputError(f"{self.where}: {key} is missing")
        return read(self._left.pop(key), f"{self.where}{'.' if ':' in self.where else ': '}{key}", *args)

    def keys(self) -> tuple[str, ...]:
        return tuple(self._left)

    def done(self) -> None:
        if self._left:
            raise refuse(self.where, "only the keys of docs/bundle.md", ", ".join(sorted(self._left)))

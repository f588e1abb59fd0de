"""Typed reading of a JSON object, field by field; whatever is missing, left over or of another type is named."""

from collections.abc import Callable
from typing import Any, TypeVar

from fewstep.engine.checks import refuse
from fewstep.errors import InputError

T = TypeVar("T")


def json_object(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refuse(where, "an object", value)
    return value


class Fields:
    """A JSON object read by name: take every key it may have, then `done` refuses the rest."""

    def __init__(self, where: str, value: object) -> None:
        self.where = where
        self._left = dict(json_object(where, value))

    def take(self, key: str, read: Callable[..., T], *args: Any) -> T:
        """read(where, value, *args) of a required key."""
        if key not in self._left:
            raise InputError(f"{self.where}: {key} is missing")
        return read(f"{self.where}{'.' if ':' in self.where else ': '}{key}", self._left.pop(key), *args)

    def keys(self) -> tuple[str, ...]:
        return tuple(self._left)

    def done(self) -> None:
        if self._left:
            raise refuse(self.where, "only the keys of docs/bundle.md", ", ".join(sorted(self._left)))

"""Tuned configurations, as data: tuned/sm_90.json holds, for each operation, the best settings by key.

A key names the sizes that matter, such as "1x4096x320 float16". Where nothing was measured a kernel's own heuristic
decides. tuner.py measures and writes; "_measured" says for each operation on what, with what and when.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("tuned")
Config = dict[str, Any]

_asked: ContextVar[list[tuple[str, str]] | None] = ContextVar("asked", default=None)


def tuned(op: str, key: str, arch: int) -> Config | None:
    """The measured settings of one operation at one key on sm_<arch>, or None."""
    asked = _asked.get()
    if asked is not None:
        asked.append((op, key))
        return None
    found = _table(arch).get(op, {}).get(key)
    return None if found is None else dict(found)


@contextmanager
def untuned() -> Iterator[list[tuple[str, str]]]:
    """Meanwhile nothing counts as measured; yields the operations and keys that are asked for: where a tuner writes."""
    asked: list[tuple[str, str]] = []
    token = _asked.set(asked)
    try:
        yield asked
    finally:
        _asked.reset(token)


@cache
def _table(arch: int) -> dict[str, dict[str, Config]]:
    path = FOLDER / f"sm_{arch}.json"
    table: dict[str, dict[str, Config]] = json.loads(path.read_text()) if path.exists() else {}
    return table

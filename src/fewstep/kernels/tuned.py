"""Tuned configurations, as data: tuned/sm_90.json holds, for each operation, the best settings by key.

A key names the sizes that matter, such as "1x4096x320 float16". Where nothing was measured a kernel's own heuristic
decides; `python -m benchmarks.gpu` measures and writes.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("tuned")
Config = dict[str, Any]


def tuned(op: str, key: str, arch: int) -> Config | None:
    """The measured settings of one operation at one key on sm_<arch>, or None."""
    found = _table(arch).get(op, {}).get(key)
    return None if found is None else dict(found)


@cache
def _table(arch: int) -> dict[str, dict[str, Config]]:
    path = FOLDER / f"sm_{arch}.json"
    table: dict[str, dict[str, Config]] = json.loads(path.read_text()) if path.exists() else {}
    return table

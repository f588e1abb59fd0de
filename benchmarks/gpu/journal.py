"""Rows as they come: one JSON object a line, on the disk before the next is measured."""

import json
import os
import time
from pathlib import Path
from typing import Any


class Journal:
    """stage, kind and when are of every row. kind: started, row, failed, skipped, interrupted, died, done."""

    def __init__(self, path: Path, **always: Any) -> None:
        self.path, self._always = path, always
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, stage: str, kind: str, **fields: Any) -> None:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        row = {"stage": stage, "kind": kind, "when": when, **self._always, **fields}
        with self.path.open("a") as file:
            file.write(json.dumps(row, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rows(self) -> list[dict[str, Any]]:
        """All that can be read: a row that was cut off is left out."""
        found = []
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return found

    def begun(self, stage: str) -> set[str]:
        """The items of a stage that were started since the run was."""
        items: set[str] = set()
        for row in self.rows():
            if row["stage"] == "run" and row["kind"] == "started":
                items.clear()
            elif row["stage"] == stage and row["kind"] == "started":
                items.add(row["item"])
        return items

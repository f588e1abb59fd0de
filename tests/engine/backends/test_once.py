"""Conditions of prompts met before are kept, up to a size."""

from typing import Any

import numpy as np
import pytest

from fewstep.engine.backends import once
from fewstep.engine.backends.once import Kept


class Counting:
    """A component that doubles, and counts."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, values: dict[str, Any]) -> dict[str, Any]:
        self.runs += 1
        return {"y": values["a"] * 2.0 + values["b"]}


def inputs(a: float, b: float = 0.0) -> dict[str, Any]:
    return {"a": np.full((1, 8), a), "b": np.full((1, 8), b)}


def test_a_prompt_is_encoded_once() -> None:
    component: Any = Counting()
    kept = Kept(component)
    first = kept.run(inputs(1))
    assert np.array_equal(first["y"], np.full((1, 8), 2.0)) and kept.run(inputs(1)) is first and component.runs == 1
    assert kept.run(inputs(0, 1))["y"][0, 0] == 1.0 and kept.run(inputs(1, 0)) is first and component.runs == 2


def test_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "MAX_KEPT", 128)  # two of 64 bytes
    component: Any = Counting()
    kept = Kept(component)
    for a in (1, 2, 1, 3):
        kept.run(inputs(a))
    assert component.runs == 3
    kept.run(inputs(1))
    assert component.runs == 3
    kept.run(inputs(2))
    assert component.runs == 4
    monkeypatch.setattr(once, "MAX_KEPT", 1)
    kept.run(inputs(9))
    kept.run(inputs(9))
    assert component.runs == 5

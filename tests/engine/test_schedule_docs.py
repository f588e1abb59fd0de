"""docs/schedules.md: its examples run, and its table is the samplers there are."""

import re
from pathlib import Path
from typing import Any

import pytest

from fewstep.engine.levels import TrainingOptions
from fewstep.engine.samplers.flow import FlowOptions
from fewstep.engine.schedule import SAMPLERS, legal_options

PAGE = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.S)
ROWS = dict(re.findall(r"^\| `([\w-]+)` \| (.*?) \|", PAGE, re.M))
GROUPS = {"T": set(TrainingOptions.__annotations__), "F": set(FlowOptions.__annotations__)}


@pytest.mark.parametrize("code", EXAMPLES, ids=[f"example {i}" for i in range(len(EXAMPLES))])
def test_examples_run(code: str) -> None:
    scope: dict[str, Any] = {}
    exec(compile(code, "docs/schedules.md", "exec"), scope)
    assert len(scope["table"]) > 0


def test_the_table_names_every_sampler() -> None:
    assert list(ROWS) == list(SAMPLERS) and len(EXAMPLES) == 2


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_table_names_every_option(name: str) -> None:
    listed = set(re.findall(r"`(\w+)`", ROWS[name]))
    for group, options in GROUPS.items():
        if re.search(rf"\b{group}\b", ROWS[name]):
            listed |= options
    assert listed == set(legal_options(name))


@pytest.mark.parametrize("group", GROUPS)
def test_the_groups_list_their_options(group: str) -> None:
    text = re.search(rf"\*\*{group}\*\*(.*?)(?:\n\n|\n\*\*)", PAGE, re.S)
    assert text and set(re.findall(r"`(\w+)`", text[1])) == GROUPS[group]

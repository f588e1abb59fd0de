"""The schedulers published with the well-known few-step models, at the step counts and times they are used with."""

import json
from pathlib import Path
from typing import Any

import pytest
from diffusers_parity import Case, check

HUB: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data" / "hub_schedulers.json").read_text())
STEP_OPTIONS = {"eta"}


def case_of(config: dict[str, Any], run: dict[str, Any]) -> Case:
    options = run["options"]
    step = {key: value for key, value in options.items() if key in STEP_OPTIONS}
    return Case(config, run["steps"], {key: options[key] for key in options.keys() - step.keys()}, step)


@pytest.mark.parametrize("name", HUB)
def test_published_scheduler(name: str) -> None:
    for run in HUB[name]["runs"]:
        check(case_of(HUB[name]["config"], run))


def test_every_model_has_a_run_and_most_have_four() -> None:
    counts = [len(entry["runs"]) for entry in HUB.values()]
    assert min(counts) >= 1 and sum(count >= 4 for count in counts) >= 14

"""OpenAI's consistency models against ConsistencyModelPipeline."""

import importlib
from typing import Any

import pytest
from family_parity import HUB, assert_same_table, check, contract, noise, parts, scheduler, tiny
from torch import Tensor
from whole_families import CM_LEVELS, CM_SECOND

from fewstep.engine.schedule import schedule
from fewstep.engine.table import Schedule
from fewstep.export.families.consistency_models import FAMILIES as MODELS

NAMES = [family.name for family in MODELS]


def config(name: str) -> dict[str, Any]:
    published: dict[str, Any] = HUB["cd_imagenet64"]["config"]
    return published | {"num_train_timesteps": CM_LEVELS.get(name, 40)}


def of_pixels(pictures: Tensor) -> Tensor:
    """The state of pictures between 0 and 1: its last step clamps."""
    return 2 * pictures - 1


def pipeline(name: str, inputs: dict[str, Tensor]) -> tuple[Any, dict[str, Any]]:
    made = tiny(name)
    pipe = importlib.import_module("diffusers").ConsistencyModelPipeline(
        parts(made)["unet"], scheduler("cd_imagenet64", num_train_timesteps=CM_LEVELS.get(name, 40))
    )
    labels = inputs["labels"].tolist() if inputs else None
    return pipe, {"batch_size": 2, "class_labels": labels, "latents": noise(made, 0)}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_the_pipelines_pictures(name: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny(name)
    inputs = made.random_inputs(2, seed=3)
    pipe, arguments = pipeline(name, inputs)
    times = {"timesteps": [CM_SECOND[name], 0]} if steps == 2 else {}
    check(monkeypatch, made, inputs, contract(name, steps), pipe, arguments | times, of_pixels, "pt")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("steps", [3, 4])
def test_other_counts_of_the_scheduler(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny("cd_imagenet64")
    inputs = made.random_inputs(2, seed=3)
    pipe, arguments = pipeline("cd_imagenet64", inputs)
    check(monkeypatch, made, inputs, schedule("cm", steps), pipe, arguments, of_pixels, "pt")


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_is_the_published_schedulers_table(name: str) -> None:
    assert_same_table(contract(name, 1), Schedule.from_diffusers(config(name), 1))
    times = Schedule.from_diffusers(config(name), timesteps=[CM_SECOND[name], 0])
    assert_same_table(contract(name, 2), times)


def test_the_two_step_times_are_not_the_even_ones() -> None:
    for name in NAMES:
        assert CM_SECOND[name] != CM_LEVELS.get(name, 40) // 2, name


def test_the_bedrooms_take_nothing() -> None:
    made = tiny("cd_bedroom256")
    assert made.inputs == () and made.random_inputs(2, seed=0) == {} and made.prompt() == ()

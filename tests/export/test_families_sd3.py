"""SD3.5-large-turbo against StableDiffusion3Pipeline, from token ids to pictures, with T5 and without."""

import importlib
from functools import cache
from typing import Any

import pytest
import torch
from family_parity import HUB, Tokens, assert_same_table, check, contract, noise, parts, scheduler, tiny
from torch import Tensor

from fewstep.engine.backends.torch.generation import Generation
from fewstep.engine.schedule import schedule
from fewstep.engine.table import Schedule
from fewstep.export.families.build import of_size
from fewstep.export.families.sd35_turbo import FAMILY, T5, T5_TOKENS, TINY, measure

NAME = FAMILY.name


@cache
def without_t5() -> Generation:
    networks = {role: network for role, network in TINY.networks.items() if role != T5}
    return of_size(FAMILY, measure(networks, None), dtype=torch.float32)


def pipeline(made: Generation, inputs: dict[str, Tensor]) -> tuple[Any, dict[str, Any]]:
    networks = parts(made)
    third = networks.get("third")
    pipe = importlib.import_module("diffusers").StableDiffusion3Pipeline(
        networks["transformer"], scheduler(NAME), networks["vae"], networks["first"], Tokens(inputs["ids"]),
        networks["second"], Tokens(inputs["ids_2"]), third, None if third is None else Tokens(inputs["ids_3"]),
    )  # fmt: skip
    H, W = made.image
    arguments = {"prompt": ["0", "1"], "height": H, "width": W, "guidance_scale": 0.0, "latents": noise(made, 0)}
    return pipe, arguments


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("t5", [True, False])
def test_from_token_ids_to_the_pipelines_pictures(t5: bool, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny(NAME) if t5 else without_t5()
    inputs = made.random_inputs(2, seed=3)
    check(monkeypatch, made, inputs, contract(NAME, steps), *pipeline(made, inputs))


def test_the_contract_is_the_published_schedulers_table() -> None:
    for N in FAMILY.contract.steps:
        assert_same_table(contract(NAME, N), Schedule.from_diffusers(HUB[NAME]["config"], N))


def test_sd3_without_sigmas_shifts_twice() -> None:
    """The scheduler counts down to its smallest level, shifted already, and shifts all of them."""
    levels = contract(NAME, 4).tau / 1000
    assert levels == pytest.approx([1, 0.857692, 0.602151, 0.008929], abs=1e-6)
    assert schedule("flow-euler", 4, shift=3.0).tau / 1000 == pytest.approx([1, 0.9, 0.75, 0.5], abs=1e-6)
    assert contract(NAME, 2).tau / 1000 == pytest.approx([1, 0.008929], abs=1e-6)


def test_missing_t5_is_as_many_zeros() -> None:
    made = without_t5()
    assert [spec.name for spec in made.inputs] == ["ids", "ids_2"]
    text, _ = made.prompt(*made.random_inputs(2, seed=3).values())
    assert text.shape == (2, 7 + T5_TOKENS, 24) and not text[:, 7:].any() and text[:, :7, :20].all()


def test_clips_hidden_states_are_filled_up_with_zeros() -> None:
    made = tiny(NAME)
    text, pooled = made.prompt(*made.random_inputs(2, seed=3).values())
    assert not text[:, :7, 20:].any() and text[:, 7:].all()
    assert pooled.shape == (2, 64)

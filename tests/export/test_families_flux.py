"""FLUX.1-schnell from token ids to the pictures of FluxPipeline, and without text encoders from features."""

import importlib
from functools import cache
from typing import Any

import pytest
import torch
from family_parity import HUB, Tokens, assert_same_table, check, contract, noise, parts, scheduler
from torch import Tensor

from fewstep.engine.backends.torch.generation import Generation
from fewstep.engine.table import Schedule
from fewstep.export.families.build import of_size
from fewstep.export.families.clip_text import TINY as CLIP_TINY
from fewstep.export.families.clip_text import clip_text
from fewstep.export.families.flux_schnell import CLIP, FAMILY, FULL, T5, T5_TOKENS, TINY, measure, pack, unpack
from fewstep.export.families.t5_text import TINY as T5_TINY
from fewstep.export.families.t5_text import t5_text

TEXT = {CLIP: clip_text({**CLIP_TINY, "hidden_size": 16}), T5: t5_text(T5_TINY)}


@cache
def with_text() -> Generation:
    return of_size(FAMILY, measure({**TEXT, **TINY.networks}, (16, 16)), dtype=torch.float32)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_from_token_ids_to_the_pipelines_pictures(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = with_text()
    inputs = made.random_inputs(2, seed=3)
    pipe, arguments = pipeline(made, inputs)
    check(monkeypatch, made, inputs, contract(FAMILY.name, steps), pipe, arguments, lambda x: unpack(x, 8, 8))


def pipeline(made: Generation, inputs: dict[str, Tensor]) -> tuple[Any, dict[str, Any]]:
    networks = parts(made)
    pipe = importlib.import_module("diffusers").FluxPipeline(
        scheduler("flux1-schnell"), networks["vae"], networks["clip"], Tokens(inputs["ids"]),
        networks["t5"], Tokens(inputs["ids_2"]), networks["transformer"],
    )  # fmt: skip
    H, W = made.image
    arguments = {"prompt": ["0", "1"], "height": H, "width": W, "latents": pack(noise(made, 0))}
    return pipe, arguments | {"max_sequence_length": T5_TOKENS}


def test_the_contract_is_the_published_schedulers_table() -> None:
    runs = {run["steps"]: run["options"] for run in HUB["flux1-schnell"]["runs"]}
    for N in FAMILY.contract.steps:
        expected = Schedule.from_diffusers(HUB["flux1-schnell"]["config"], N, **runs[N])
        assert_same_table(contract(FAMILY.name, N), expected)


def test_a_size_takes_ids_where_it_holds_text_encoders_and_features_where_not() -> None:
    assert [spec.name for spec in with_text().inputs] == ["ids", "ids_2"]
    bare = measure(FULL.networks, None)
    assert bare == FULL and [(spec.name, spec.shape) for spec in bare.inputs] == [
        ("text", (256, 4096)),
        ("pooled", (768,)),
    ]
    assert not bare.texts and bare.latent == (16, 128, 128)


def test_the_text_is_t5s_and_the_pooled_output_clips() -> None:
    made = with_text()
    text, pooled = made.prompt(*made.random_inputs(2, seed=3).values())
    assert text.shape == (2, 256, 24) and pooled.shape == (2, 16)

"""Qwen-Image-Lightning against QwenImagePipeline, from token ids to pictures."""

import importlib
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from family_parity import HUB, Tokens, assert_same_table, check, contract, noise, parts, scheduler, tiny
from torch import Tensor

from fewstep.engine.schedule import schedule
from fewstep.engine.table import Schedule
from fewstep.errors import InputError
from fewstep.export.families.flux_schnell import pack, unpack
from fewstep.export.families.qwen_image_lightning import FAMILY, INSTRUCTION_TOKENS, TEMPLATE, TINY, TOKENS, measure

NAME = FAMILY.name
LENGTHS = (70, 41)  # tokens of the instruction and the prompt


def drawn() -> dict[str, Tensor]:
    mask = (torch.arange(INSTRUCTION_TOKENS + TOKENS) < torch.tensor(LENGTHS)[:, None]).long()
    return tiny(NAME).random_inputs(2, seed=3) | {"mask": mask}


def pipeline(inputs: dict[str, Tensor]) -> tuple[Any, dict[str, Any]]:
    made = tiny(NAME)
    networks = parts(made)
    text_encoder: Any = TINY.networks["text_encoder"].make()
    text_encoder.model.language_model = networks["language_model"]
    pipe = importlib.import_module("diffusers").QwenImagePipeline(
        scheduler(NAME),
        networks["vae"],
        text_encoder,
        Tokens(inputs["ids"], inputs["mask"]),
        networks["transformer"],
    )
    assert (pipe.prompt_template_encode, pipe.prompt_template_encode_start_idx) == (TEMPLATE, INSTRUCTION_TOKENS)
    H, W = made.image
    arguments = {"prompt": ["0", "1"], "height": H, "width": W, "true_cfg_scale": 1.0}
    return pipe, arguments | {"latents": pack(noise(made, 0))}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8])
def test_from_token_ids_to_the_pipelines_pictures(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = drawn()
    pipe, arguments = pipeline(inputs)
    table = schedule("flow-euler", steps, shift=3.0)
    check(monkeypatch, tiny(NAME), inputs, table, pipe, arguments, lambda x: unpack(x, 8, 8))


def test_qwens_shift_is_by_three_at_every_size() -> None:
    runs = {run["steps"]: run["options"] for run in HUB[NAME]["runs"]}
    for N in FAMILY.contract.steps:
        assert runs[N]["mu"] == math.log(3)
        assert_same_table(contract(NAME, N), Schedule.from_diffusers(HUB[NAME]["config"], N, **runs[N]))


def test_the_instructions_tokens_go_no_further_but_are_seen() -> None:
    made, inputs = tiny(NAME), drawn()
    text, mask = made.prompt(*inputs.values())
    assert text.shape == (2, TOKENS, 32) and mask.sum(1).tolist() == [n - INSTRUCTION_TOKENS for n in LENGTHS]
    other = inputs | {"ids": torch.cat([(inputs["ids"][:, :1] + 1) % 99, inputs["ids"][:, 1:]], dim=1)}
    assert not torch.allclose(made.prompt(*other.values())[0][:, 0], text[:, 0], atol=1e-3)


def test_each_channel_has_its_mean_and_deviation() -> None:
    made = tiny(NAME)
    vae, x = parts(made)["vae"], noise(made, 0)
    config = TINY.networks["vae"].config
    z = x * torch.tensor(config["latents_std"])[:, None, None] + torch.tensor(config["latents_mean"])[:, None, None]
    with torch.no_grad():
        assert torch.equal(made.decoder(x), vae.decode(z[:, :, None], return_dict=False)[0][:, :, 0])


def test_a_sibling_that_edits_is_refused() -> None:
    transformer = TINY.networks["transformer"]
    edits = replace(transformer, config={**transformer.config, "zero_cond_t": True})
    with pytest.raises(InputError, match="transformer: zero_cond_t: expected false, as Qwen-Image has, got True"):
        measure({**TINY.networks, "transformer": edits}, (16, 16))

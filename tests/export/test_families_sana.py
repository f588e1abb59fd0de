"""SANA-Sprint from token ids to the pictures of SanaSprintPipeline, and without its text encoder from features."""

import importlib
import inspect
from functools import cache
from typing import Any

import pytest
import torch
from family_parity import CLOSE, Tokens, check, contract, noise, parts, scheduler
from torch import Tensor

from fewstep.engine.backends.torch.generation import Generation
from fewstep.export.families.build import of_size
from fewstep.export.families.family import Network, Size, with_instructions
from fewstep.export.families.sana_sprint import FAMILY, FULL_0_6B, GUIDANCE, INSTRUCTION, TINY, TOKENS, kept, measure

GEMMA2 = Network(
    "transformers",
    "Gemma2Model",
    {
        "vocab_size": 99,
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
    },
)
COUNT = 40  # tokens that the tokenizer below makes of the instruction
LENGTHS = (COUNT + 90, COUNT + 7)


class Instructed(Tokens):
    def encode(self, text: str) -> list[int]:
        assert text == INSTRUCTION
        return [0] * COUNT

    def __call__(self, prompt: Any, **options: Any) -> Any:
        assert options["max_length"] == self.ids.shape[1]
        assert [text.startswith(INSTRUCTION) for text in prompt] == [True, True]
        return super().__call__(prompt)


def size() -> Size:
    return with_instructions(measure({"text_encoder": GEMMA2, **TINY.networks}, (32, 32)), lambda folder, text: COUNT)


@cache
def with_text() -> Generation:
    return of_size(FAMILY, size(), dtype=torch.float32)


def drawn(guidance: float) -> dict[str, Tensor]:
    made = with_text()
    mask = (torch.arange(made.inputs[0].shape[0]) < torch.tensor(LENGTHS)[:, None]).long()
    return made.random_inputs(2, seed=3) | {"mask": mask, "guidance": torch.full((2,), guidance)}


def pipeline(inputs: dict[str, Tensor], steps: int) -> tuple[Any, dict[str, Any]]:
    made = with_text()
    networks = parts(made)
    pipe = importlib.import_module("diffusers").SanaSprintPipeline(
        Instructed(inputs["ids"], inputs["mask"]),
        networks["text_encoder"],
        networks["vae"],
        networks["transformer"],
        scheduler("sana-sprint"),
    )
    H, W = made.image
    arguments = {"prompt": ["0", "1"], "height": H, "width": W, "latents": noise(made, 0)}
    if steps != 2:
        arguments["intermediate_timesteps"] = None
    return pipe, arguments | {"use_resolution_binning": False, "guidance_scale": float(inputs["guidance"][0])}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("steps", "guidance"), [(1, 4.5), (2, 4.5), (2, 4.0), (3, 4.5), (4, 4.5)])
def test_from_token_ids_to_the_pipelines_pictures(steps: int, guidance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = drawn(guidance)
    check(monkeypatch, with_text(), inputs, contract(FAMILY.name, steps), *pipeline(inputs, steps))


def test_the_instruction_and_the_guidance_are_the_pipelines_own() -> None:
    call = inspect.signature(importlib.import_module("diffusers").SanaSprintPipeline.__call__).parameters
    assert "\n".join(call["complex_human_instruction"].default) == INSTRUCTION
    assert call["guidance_scale"].default == GUIDANCE.default


def test_an_instruction_comes_beside_the_prompts_tokens() -> None:
    (text,) = size().texts
    assert text.length == TOKENS + COUNT - 2 and text.lower and text.template == INSTRUCTION + "{}"
    assert [spec.shape for spec in size().inputs] == [(text.length,), (text.length,), ()]


def test_the_first_token_and_the_last_299_go_on() -> None:
    places = torch.arange(TOKENS + COUNT - 2).expand(2, -1)
    assert kept(places)[0].tolist() == [0, *range(COUNT - 1, TOKENS + COUNT - 2)]
    _, lengths, guidance = with_text().prompt(*drawn(4.5).values())
    assert lengths.tolist() == [n - COUNT + 2 for n in LENGTHS]
    assert guidance.tolist() == pytest.approx([0.45, 0.45])


def test_without_a_text_encoder_it_takes_features_at_the_default_guidance() -> None:
    bare = measure(TINY.networks, (32, 32))
    assert [spec.name for spec in bare.inputs] == ["features", "lengths"] and not bare.texts and bare.guidance is None
    assert measure(FULL_0_6B.networks, None) == FULL_0_6B and FULL_0_6B.latent == (32, 32, 32)
    made, asked = of_size(FAMILY, bare, dtype=torch.float32), with_text()
    made.denoiser.transformer = parts(asked)["transformer"]
    features, lengths, guidance = asked.prompt(*drawn(GUIDANCE.default).values())
    u, tau = noise(made, 0), torch.full((2,), 0.7)
    one, two = made.denoiser(u, tau, features, lengths), asked.denoiser(u, tau, features, lengths, guidance)
    assert float((one - two).abs().max()) <= CLOSE * float(two.abs().max())

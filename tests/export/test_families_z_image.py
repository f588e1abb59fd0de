"""Z-Image-Turbo against ZImagePipeline, from token ids to pictures."""

import importlib
from typing import Any

import pytest
import torch
from family_parity import CLOSE, HUB, Tokens, assert_same_table, check, contract, noise, parts, scheduler, tiny
from torch import Tensor

from fewstep.engine.schedule import schedule
from fewstep.engine.table import Schedule
from fewstep.export.families.z_image_turbo import FAMILY, TEMPLATE, TOKENS, patch, unpatch

NAME = FAMILY.name
LENGTHS = (70, 9)  # of which the first is filled up to 96 tokens, the second to 32


class Chat(Tokens):
    def apply_chat_template(self, messages: list[dict[str, str]], **options: object) -> str:
        assert options == {"tokenize": False, "add_generation_prompt": True, "enable_thinking": True}
        (message,) = messages
        return message["content"]


def drawn() -> dict[str, Tensor]:
    mask = (torch.arange(TOKENS) < torch.tensor(LENGTHS)[:, None]).long()
    return tiny(NAME).random_inputs(2, seed=3) | {"mask": mask}


def pipeline(inputs: dict[str, Tensor]) -> tuple[Any, dict[str, Any]]:
    made = tiny(NAME)
    networks = parts(made)
    pipe = importlib.import_module("diffusers").ZImagePipeline(
        scheduler(NAME),
        networks["vae"],
        networks["text_encoder"],
        Chat(inputs["ids"], inputs["mask"]),
        networks["transformer"],
    )
    H, W = made.image
    return pipe, {"prompt": ["0", "1"], "height": H, "width": W, "guidance_scale": 0.0, "latents": noise(made, 0)}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("steps", [1, 2, 4, 8])  # at 3, float32 puts the scheduler's last time at 599.99994
def test_from_token_ids_to_the_pipelines_pictures(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = drawn()
    check(monkeypatch, tiny(NAME), inputs, schedule("flow-euler", steps, shift=3.0), *pipeline(inputs))


def test_the_contract_is_the_published_schedulers_table() -> None:
    (run,) = (run for run in HUB[NAME]["runs"] if run["steps"] == 8)
    assert_same_table(contract(NAME, 8), Schedule.from_diffusers(HUB[NAME]["config"], 8, **run["options"]))


def test_z_image_negates_the_output() -> None:
    """It is told 1 - s, and predicts x_0 - z."""
    made, inputs = tiny(NAME), drawn()
    network, u = parts(made)["transformer"], noise(made, 0)
    text, lengths = made.prompt(*inputs.values())
    m = made.denoiser(u, torch.full((2,), 900.0), text, lengths)
    words = [text[i, :n] for i, n in enumerate(LENGTHS)]
    raw = network(list(u[:, :, None].unbind()), torch.full((2,), 0.1), words, return_dict=False)[0]
    raw = torch.stack(list(raw))[:, :, 0]
    assert float((m + raw).abs().max()) <= CLOSE * float(raw.abs().max())


def test_text_behind_the_prompt_does_not_matter_but_the_fill_of_32_does() -> None:
    made, inputs = tiny(NAME), drawn()
    text, lengths = made.prompt(*inputs.values())
    u, tau = noise(made, 0), torch.full((2,), 500.0)
    m = made.denoiser(u, tau, text, lengths)
    changed = torch.where((torch.arange(TOKENS) < lengths[:, None])[..., None], text, 9.0)
    assert torch.allclose(made.denoiser(u, tau, changed, lengths), m, atol=1e-5)
    assert not torch.allclose(made.denoiser(u, tau, text, lengths + 1)[1], m[1], atol=1e-3)


def test_the_prompt_is_a_turn_of_a_chat_and_the_text_its_next_to_last_states() -> None:
    made, inputs = tiny(NAME), drawn()
    assert TEMPLATE.format("a cat") == "<|im_start|>user\na cat<|im_end|>\n<|im_start|>assistant\n"
    text, lengths = made.prompt(*inputs.values())
    encoder = parts(made)["text_encoder"]
    alone = encoder(input_ids=inputs["ids"][1:, :9], output_hidden_states=True).hidden_states
    assert lengths.tolist() == list(LENGTHS)
    assert torch.allclose(text[1:, :9], alone[-2], atol=1e-5)
    assert not torch.allclose(text[1:, :9], alone[-1], atol=1e-2)


def test_patches_are_undone() -> None:
    x = torch.randn(2, 4, 6, 8)
    assert torch.equal(unpatch(patch(x), 6, 8), x)
    assert torch.equal(patch(x)[0, 1], x[0, :, :2, 2:4].permute(1, 2, 0).reshape(-1))

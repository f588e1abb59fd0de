"""PixArt-delta against PixArtAlphaPipeline, from token ids to pictures."""

import importlib
from typing import Any

import pytest
import torch
from family_parity import CLOSE, HUB, Tokens, assert_same_table, check, contract, noise, parts, scheduler, tiny
from torch import Tensor

from fewstep.engine.table import Schedule
from fewstep.export.families.catalogue import FAMILIES

NAMES = ("pixart-delta", "pixart-delta-512")


def pipeline(name: str, inputs: dict[str, Tensor]) -> tuple[Any, dict[str, Any]]:
    made = tiny(name)
    networks = parts(made)
    pipe = importlib.import_module("diffusers").PixArtAlphaPipeline(
        Tokens(inputs["ids"], inputs["mask"]),
        networks["text_encoder"],
        networks["vae"],
        networks["transformer"],
        scheduler("pixart-lcm"),
    )
    H, W = made.image
    arguments = {"prompt": ["0", "1"], "height": H, "width": W, "guidance_scale": 0.0, "latents": noise(made, 0)}
    return pipe, arguments | {"use_resolution_binning": False}


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_is_the_published_schedulers_table(name: str) -> None:
    for N in FAMILIES[name].contract.steps:
        assert_same_table(contract(name, N), Schedule.from_diffusers(HUB["pixart-lcm"]["config"], N))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_from_token_ids_to_the_pipelines_pictures(name: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny(name)
    inputs = made.random_inputs(2, seed=3)
    inputs["mask"] = (torch.arange(120) < torch.tensor([[120], [9]])).long()
    pipe, arguments = pipeline(name, inputs)
    check(monkeypatch, made, inputs, contract(name, steps), pipe, arguments)


@pytest.mark.parametrize("name", NAMES)
def test_pixart_keeps_the_first_four_channels(name: str) -> None:
    made = tiny(name)
    network = parts(made)["transformer"]
    u, tau, conditions = noise(made, 0), torch.full((2,), 999.0), made.prompt(*made.random_inputs(2, 3).values())
    whole: list[Tensor] = []
    watch = network.register_forward_hook(lambda module, given, out: whole.append(out[0]))
    m = made.denoiser(u, tau, *conditions)
    watch.remove()
    assert whole[0].shape[1] == 8 and torch.equal(m, whole[0][:, :4])


def test_the_linear_betas_amplify_the_first_output_157_times() -> None:
    assert contract("pixart-delta", 1).a[0] == pytest.approx(157.4, abs=0.1)
    assert contract("lcm-lora-sd15", 1).a[0] == pytest.approx(14.65, abs=0.1)


def test_padded_tokens_do_not_matter() -> None:
    made = tiny("pixart-delta-512")
    inputs = made.random_inputs(2, seed=3) | {"mask": (torch.arange(120) < 9).long().expand(2, -1)}
    other = inputs | {"ids": torch.where(inputs["mask"] == 1, inputs["ids"], 5)}
    u, tau = noise(made, 0), torch.full((2,), 499.0)
    one, two = (made.denoiser(u, tau, *made.prompt(*given.values())) for given in (inputs, other))
    assert float((one - two).abs().max()) <= CLOSE * float(one.abs().max())


def test_only_the_network_of_1024_pixels_is_told_the_size() -> None:
    ids = tiny("pixart-delta").random_inputs(2, seed=3).values()
    _, _, resolution, aspect_ratio = tiny("pixart-delta").prompt(*ids)
    assert resolution.tolist() == [[16, 16]] * 2 and aspect_ratio.tolist() == [[1], [1]]
    assert len(tiny("pixart-delta-512").prompt(*ids)) == 2

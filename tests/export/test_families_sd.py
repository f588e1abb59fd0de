"""Families on the UNets of Stable Diffusion 1.5 and SDXL, against diffusers' pipelines from token ids to pictures."""

import importlib
from dataclasses import replace
from typing import Any

import pytest
import torch
from family_parity import (
    HUB,
    Tokens,
    assert_same_table,
    check,
    contract,
    counts,
    noise,
    parts,
    scheduler,
    tiny,
)
from whole_families import STABLE_DIFFUSION, sampling

from fewstep.engine.schedule import schedule
from fewstep.engine.table import Schedule
from fewstep.errors import InputError
from fewstep.export.families.build import build
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.lcm_dreamshaper import GUIDANCE, embed

CASES = [(name, N) for name in STABLE_DIFFUSION for N in counts(name)]


@pytest.mark.parametrize(
    ("name", "steps"), [(name, N) for name in STABLE_DIFFUSION for N in FAMILIES[name].contract.steps]
)
def test_the_contract_is_the_published_schedulers_table(name: str, steps: int) -> None:
    assert_same_table(
        contract(name, steps),
        Schedule.from_diffusers(HUB[STABLE_DIFFUSION[name][0]]["config"], steps, **sampling(name, steps)),
    )


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("name", "steps"), CASES)
def test_from_token_ids_to_the_pipelines_pictures(name: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny(name)
    inputs = made.random_inputs(2, seed=3)
    pipe, arguments = pipeline(name, inputs)
    if "guidance" in inputs:
        inputs["guidance"] = torch.full((2,), GUIDANCE.default)
    check(monkeypatch, made, inputs, contract(name, steps), pipe, arguments | sampling(name, steps))


def pipeline(name: str, inputs: dict[str, torch.Tensor]) -> tuple[Any, dict[str, Any]]:
    made, key = tiny(name), STABLE_DIFFUSION[name][0]
    diffusers, networks = importlib.import_module("diffusers"), parts(made)
    H, W = made.image
    arguments = {"prompt": ["0", "1"], "height": H, "width": W, "latents": noise(made, 0)}
    if name == "lcm-dreamshaper":
        pipe = diffusers.LatentConsistencyModelPipeline(
            networks["vae"], networks["text_encoder"], Tokens(inputs["ids"]), networks["unet"], scheduler(key),
            None, None, None, False,
        )  # fmt: skip
        return pipe, arguments | {"guidance_scale": GUIDANCE.default}
    if "ids_2" in inputs:
        pipe = diffusers.StableDiffusionXLPipeline(
            networks["vae"], networks["first"], networks["second"], Tokens(inputs["ids"]), Tokens(inputs["ids_2"]),
            networks["unet"], scheduler(key), add_watermarker=False,
        )  # fmt: skip
    else:
        pipe = diffusers.StableDiffusionPipeline(
            networks["vae"], networks["text_encoder"], Tokens(inputs["ids"]), networks["unet"], scheduler(key),
            None, None, None, False,
        )  # fmt: skip
    return pipe, arguments | {"guidance_scale": 1.0 if name.startswith("lcm-lora") else 0.0}


def test_lightnings_one_step_is_the_networks_output() -> None:
    table = contract("sdxl-lightning-1step", 1)
    assert (table.tau[0], table.a[0], table.b[0]) == (999, 0, 1)
    assert table.s_in[0] == pytest.approx(0.06826, abs=1e-5) and table.init == pytest.approx(14.614647, abs=1e-5)


def test_hypers_one_step_unet_starts_at_800() -> None:
    table = contract("hyper-sdxl-1step", 1)
    assert (table.tau[0], table.init) == (800, 1)
    assert (table.a[0], table.b[0]) == (pytest.approx(5.2079, abs=1e-4), pytest.approx(-5.1110, abs=1e-4))


def test_dmd2s_one_step_takes_unit_noise_as_time_399() -> None:
    table = contract("dmd2-sdxl", 1)
    assert (table.tau[0], table.init) == (399, 1)
    assert (table.a[0], table.b[0]) == (pytest.approx(1.53197, abs=1e-5), pytest.approx(-1.16058, abs=1e-5))


def test_lcms_times_are_not_dmd2s() -> None:
    assert contract("lcm-lora-sdxl", 4).tau.tolist() == [999, 759, 499, 259]
    assert contract("dmd2-sdxl", 4).tau.tolist() == [999, 749, 499, 249]


@pytest.mark.parametrize("name", ["tcd-sd15", "pcm-sd15", "hyper-sd15-unified", "hyper-sd15"])
def test_tcd_last_step_is_not_x0(name: str) -> None:
    """It is the state at time 0, as with DDIM's set_alpha_to_one=False."""
    N = max(FAMILIES[name].contract.steps)
    x_0 = schedule("lcm", N, timesteps=contract(name, N).tau.astype(int).tolist())
    assert abs(contract(name, N).b[-1] / x_0.b[-1] - 1) > 1e-3
    assert schedule("tcd", 1).b[0] == pytest.approx(-14.579, abs=1e-3)
    assert schedule("lcm", 1).b[0] == pytest.approx(-14.615, abs=1e-3)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_pipeline_that_is_told_no_eta_runs_tcd_as_pcm(monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny("tcd-sd15")
    inputs = made.random_inputs(2, seed=3)
    pipe, arguments = pipeline("tcd-sd15", inputs)
    check(monkeypatch, made, inputs, contract("pcm-sd15", 4), pipe, arguments)
    with pytest.raises(AssertionError):
        check(monkeypatch, made, inputs, contract("tcd-sd15", 4), pipe, arguments)


def test_lcm_w_is_guidance_minus_one() -> None:
    made = tiny("lcm-dreamshaper")
    inputs = made.random_inputs(2, seed=3) | {"guidance": torch.tensor([8.5, 3.0])}
    pipe, _ = pipeline("lcm-dreamshaper", inputs)
    _, w = made.prompt(*inputs.values())
    assert torch.equal(w, pipe.get_guidance_scale_embedding(inputs["guidance"] - 1, embedding_dim=8))
    assert not torch.allclose(w, embed(inputs["guidance"], 8), atol=0.1)


def test_lcm_guidance_stays_float32_under_half_precision() -> None:
    """1000 w in half precision is off by whole turns of the sine."""
    made = build("lcm-dreamshaper", dtype=torch.float16)
    inputs = made.random_inputs(1, seed=3)
    assert inputs["guidance"].dtype == torch.float32
    inputs["guidance"] = torch.tensor([8.3])
    _, w = made.prompt(*inputs.values())
    assert w.dtype == torch.float16
    assert torch.allclose(w.float(), embed(torch.tensor([7.3]), 8), atol=1e-3)


@pytest.mark.parametrize("name", ["lcm-lora-sd15", "lcm-lora-sdxl"])
def test_a_unet_that_takes_guidance_is_no_lora_on_one_that_takes_none(name: str) -> None:
    """LCM's own UNets run without the embedding, and make other pictures."""
    published, networks = FAMILIES[name].published, FAMILIES[name].full.networks
    assert published is not None and published.measure(networks, None) == FAMILIES[name].full
    guided = replace(networks["unet"], config={**networks["unet"].config, "time_cond_proj_dim": 256})
    with pytest.raises(InputError, match=r"unet: time_cond_proj_dim: expected None, .* got 256"):
        published.measure({**networks, "unet": guided}, None)

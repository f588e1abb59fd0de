"""One update in every style that files have is one change of the weights: that of a dense formula."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lora_files import (
    LDM_SD,
    LDM_SDXL,
    RANK,
    Factors,
    State,
    assert_fused,
    bare,
    draw_factors,
    entries,
    gathered,
    kohya,
    kohya_ldm,
    layers,
    old_diffusers,
    peft,
    saved,
    tiny_unet,
    weights,
)
from torch import nn

from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.lora.fuse import fuse
from fewstep.export.lora.read_lora import read_lora

UNETS = {"sd_turbo.unet": LDM_SD, "lcm_dreamshaper.unet": LDM_SD, "sdxl_turbo.unet": LDM_SDXL}
STYLES: dict[str, Callable[[Factors], State]] = {
    "kohya": kohya,
    "peft": peft,
    "peft with an adapter's name": lambda factors: {
        key.replace(".weight", ".default.weight"): values for key, values in peft(factors).items()
    },
    "old diffusers": old_diffusers,
    "bare": bare,
    "diffusion_model": lambda factors: bare(factors, "diffusion_model."),
}


def fused(path: Path, role: str, network: nn.Module) -> None:
    fuse({role: network}, [(read_lora(path, {role: network}), 1.0)])


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", UNETS)
def test_a_style_on_a_unet(name: str, style: str, tmp_path: Path) -> None:
    unet = tiny_unet(name)
    before, factors = weights(unet), draw_factors(unet)
    fused(saved(tmp_path / "lora.safetensors", STYLES[style](factors)), "unet", unet)
    assert_fused(unet, before, factors)


@pytest.mark.parametrize("name", UNETS)
def test_kohya_on_the_names_of_ldm(name: str, tmp_path: Path) -> None:
    unet = tiny_unet(name)
    known = [layer for layer in layers(unet) if layer != "time_embedding.cond_proj"]  # LCM's own, which LDM has not
    before, factors = weights(unet), draw_factors(unet, known)
    state = kohya_ldm(factors, UNETS[name])
    assert len(state) == 3 * len(factors) and not any("resnets" in key or "attentions" in key for key in state)
    fused(saved(tmp_path / "lora.safetensors", state), "unet", unet)
    assert_fused(unet, before, factors)


@pytest.mark.parametrize("style", ["kohya", "peft", "bare", "diffusion_model"])
@pytest.mark.parametrize("name", ["flux_schnell.transformer", "qwen_image.transformer", "sd35_turbo.transformer"])
def test_a_style_on_a_transformer(name: str, style: str, tmp_path: Path) -> None:
    network = tiny_unet(name)
    before, factors = weights(network), draw_factors(network)
    state = peft(factors, "transformer.") if style == "peft" else STYLES[style](factors)
    fused(saved(tmp_path / "lora.safetensors", state), "transformer", network)
    assert_fused(network, before, factors)


def test_a_lora_for_few_layers_leaves_the_others(tmp_path: Path) -> None:
    unet = tiny_unet("sdxl_turbo.unet")
    names = ["conv_in", "mid_block.attentions.0.transformer_blocks.1.attn2.to_out.0"]
    before, factors = weights(unet), draw_factors(unet, names)
    fused(saved(tmp_path / "lora.safetensors", kohya(factors)), "unet", unet)
    assert_fused(unet, before, factors)


def test_without_alpha_the_scale_is_1(tmp_path: Path) -> None:
    unet = tiny_unet("sd_turbo.unet")
    factors = {name: replace(factor, alpha=None) for name, factor in draw_factors(unet).items()}
    before = weights(unet)
    fused(saved(tmp_path / "lora.safetensors", kohya(factors)), "unet", unet)
    assert_fused(unet, before, factors)


def test_qwen_image_lightning_has_alpha_8_of_rank_64(tmp_path: Path) -> None:
    network = tiny_unet("qwen_image.transformer")
    factors = {
        name: replace(factor, down=factor.down.repeat(16, 1), up=factor.up.repeat(1, 16), alpha=8.0)
        for name, factor in draw_factors(
            network, ["transformer_blocks.0.attn.to_q", "transformer_blocks.0.img_mlp.net.2"]
        ).items()
    }
    lora = read_lora(saved(tmp_path / "lora.safetensors", bare(factors)), {"transformer": network})
    assert {target.scale for target in lora.targets.values()} == {0.125}
    before = weights(network)
    fuse({"transformer": network}, [(lora, 1.0)])
    assert_fused(network, before, factors)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_halves_are_read_as_they_are(dtype: torch.dtype, tmp_path: Path) -> None:
    unet = tiny_unet("sd_turbo.unet")
    halves = {
        name: replace(factor, down=factor.down.to(dtype), up=factor.up.to(dtype))
        for name, factor in draw_factors(unet).items()
    }
    before = weights(unet)
    fused(saved(tmp_path / "lora.safetensors", kohya(halves)), "unet", unet)
    assert_fused(unet, before, halves)


@pytest.mark.parametrize("pattern", [{}, {"1.to_q": 5.0, "attn1.to_q": 3.0}], ids=["one", "by module"])
def test_alphas_of_a_saved_adapter(pattern: dict[str, float], tmp_path: Path) -> None:
    unet = tiny_unet("sd_turbo.unet")
    factors = draw_factors(unet)
    metadata: dict[str, Any] = {
        "unet.r": RANK,
        "unet.lora_alpha": 8,
        "unet.alpha_pattern": pattern,
        "unet.use_dora": False,
    }
    state = gathered(entries(f"unet.{n}", replace(f, alpha=None), ".lora_A", ".lora_B") for n, f in factors.items())
    before = weights(unet)
    fused(saved(tmp_path / "lora.safetensors", state, metadata), "unet", unet)
    expected = {
        name: replace(factor, alpha=3.0 if pattern and name.endswith(".attn1.to_q") else 8.0)
        for name, factor in factors.items()
    }
    assert_fused(unet, before, expected)


def text_encoder(projected: bool) -> nn.Module:
    role = "text_encoder_2" if projected else "text_encoder"
    return FAMILIES["sdxl-turbo"].tiny.networks[role].make()


def published_text_name(name: str) -> str:
    """What the text encoders of all versions of transformers before 5 call it."""
    return name if name.startswith("text_") else f"text_model.{name}"


OLD_TEXT = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


def old_text(factors: Factors, prefix: str) -> State:
    out: State = {}
    for name, factor in factors.items():
        parent, _, layer = name.rpartition(".")
        if layer in OLD_TEXT:
            out |= entries(f"{prefix}{parent}.{OLD_TEXT[layer]}_lora", factor, ".down", ".up")
        else:
            out |= entries(f"{prefix}{name}.lora_linear_layer", factor.without_alpha(), ".down", ".up")
    return out


@pytest.mark.parametrize(
    ("projected", "make"),
    [
        (False, lambda factors: kohya(factors, "lora_te_")),
        (False, lambda factors: kohya(factors, "lora_te1_")),
        (True, lambda factors: kohya(factors, "lora_te2_")),
        (False, lambda factors: peft(factors, "text_encoder.")),
        (True, lambda factors: peft(factors, "text_encoder_2.")),
        (False, lambda factors: old_text(factors, "text_encoder.")),
    ],
    ids=["te", "te1", "te2", "peft", "peft 2", "old diffusers"],
)
def test_text_encoders(projected: bool, make: Callable[[Factors], State], tmp_path: Path) -> None:
    network = text_encoder(projected)
    before, factors = weights(network), draw_factors(network)
    state = make({published_text_name(name): factor for name, factor in factors.items()})
    fused(saved(tmp_path / "lora.safetensors", state), "text_encoder_2" if projected else "text_encoder", network)
    assert_fused(network, before, factors)


def test_a_file_for_several_networks(tmp_path: Path) -> None:
    networks = {
        "unet": tiny_unet("sdxl_turbo.unet"),
        "text_encoder": text_encoder(False),
        "text_encoder_2": text_encoder(True),
    }
    drawn = {role: draw_factors(network, seed=i) for i, (role, network) in enumerate(networks.items())}
    before = {role: weights(network) for role, network in networks.items()}
    prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}
    state = gathered(
        kohya({published_text_name(n) if role != "unet" else n: f for n, f in drawn[role].items()}, prefix)
        for role, prefix in prefixes.items()
    )
    fuse(networks, [(read_lora(saved(tmp_path / "lora.safetensors", state), networks), 1.0)])
    for role, network in networks.items():
        assert_fused(network, before[role], drawn[role])


def shared_down(factors: Factors, names: list[str]) -> dict[str, Any]:
    """Factors of the same inputs with the first's down: rows of one update of the matrix that has all of them."""
    return {name: replace(factors[name], down=factors[names[0]].down) for name in names}


DOUBLE_ATTENTION, SINGLE_ATTENTION = "transformer_blocks.0.attn", "single_transformer_blocks.0.attn"
FUSED = {
    "double_blocks.0.img_attn.qkv": [f"{DOUBLE_ATTENTION}.to_{part}" for part in "qkv"],
    "double_blocks.0.txt_attn.qkv": [f"{DOUBLE_ATTENTION}.add_{part}_proj" for part in "qkv"],
    "single_blocks.0.linear1": [
        *(f"{SINGLE_ATTENTION}.to_{part}" for part in "qkv"),
        "single_transformer_blocks.0.proj_mlp",
    ],
}
SINGLE = {
    "double_blocks.0.img_attn.proj": "transformer_blocks.0.attn.to_out.0",
    "double_blocks.0.txt_attn.proj": "transformer_blocks.0.attn.to_add_out",
    "double_blocks.0.img_mlp.0": "transformer_blocks.0.ff.net.0.proj",
    "double_blocks.0.txt_mlp.2": "transformer_blocks.0.ff_context.net.2",
    "double_blocks.0.img_mod.lin": "transformer_blocks.0.norm1.linear",
    "double_blocks.0.txt_mod.lin": "transformer_blocks.0.norm1_context.linear",
    "single_blocks.0.linear2": "single_transformer_blocks.0.proj_out",
    "single_blocks.0.modulation.lin": "single_transformer_blocks.0.norm.linear",
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "final_layer.linear": "proj_out",
}


def flux_original(factors: Factors) -> dict[str, Any]:
    out = {original: factors[name] for original, name in SINGLE.items()}
    for original, names in FUSED.items():
        out[original] = replace(factors[names[0]], up=torch.cat([factors[name].up for name in names]))
    swapped = factors["norm_out.linear"]
    scale, shift = swapped.up.chunk(2)
    return {**out, "final_layer.adaLN_modulation.1": replace(swapped, up=torch.cat([shift, scale]))}


@pytest.mark.parametrize("style", ["kohya", "diffusion_model"])
def test_flux_on_its_original_names(style: str, tmp_path: Path) -> None:
    network = tiny_unet("flux_schnell.transformer")
    names = [*SINGLE.values(), "norm_out.linear", *(name for part in FUSED.values() for name in part)]
    factors = draw_factors(network, names)
    for part in FUSED.values():
        factors |= shared_down(factors, part)
    before = weights(network)
    fused(saved(tmp_path / "lora.safetensors", STYLES[style](flux_original(factors))), "transformer", network)
    assert_fused(network, before, factors)


def test_flux_with_a_rank_for_each_of_q_k_and_v(tmp_path: Path) -> None:
    """As kohya's split_qkv trains it: downs below each other, ups on the diagonal."""
    network = tiny_unet("flux_schnell.transformer")
    names = FUSED["double_blocks.0.img_attn.qkv"]
    factors = draw_factors(network, names)
    whole = replace(
        factors[names[0]],
        down=torch.cat([factors[name].down for name in names]),
        up=torch.block_diag(*(factors[name].up for name in names)),
        alpha=3 * 2.0,
    )
    before = weights(network)
    fused(saved(tmp_path / "lora.safetensors", kohya({"double_blocks.0.img_attn.qkv": whole})), "transformer", network)
    assert_fused(network, before, factors)


@pytest.mark.parametrize("name", ["sd_turbo.unet", "lcm_dreamshaper.unet"], ids=["linear", "1x1"])
@pytest.mark.parametrize("ones", [(), (1, 1)], ids=["of a linear", "of a 1x1"])
def test_a_1x1_convolution_is_a_linear_layer(name: str, ones: tuple[int, ...], tmp_path: Path) -> None:
    """SD 1 has convolutions where SD 2 has linear layers, and files have factors of either."""
    unet = tiny_unet(name)
    layer = "down_blocks.0.attentions.0.proj_in"
    before, factor = weights(unet), draw_factors(unet, [layer])[layer]
    stored = replace(factor, down=factor.down.reshape(RANK, -1, *ones), up=factor.up.reshape(-1, RANK, *ones))
    fused(saved(tmp_path / "lora.safetensors", kohya({layer: stored})), "unet", unet)
    assert_fused(unet, before, {layer: factor})

"""The names of LDM and of the code of FLUX and Z-Image, against tables by hand and converters of diffusers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers.loaders.lora_conversion_utils
import diffusers.loaders.single_file_utils
import pytest
import torch
from lora_files import (
    Factor,
    Factors,
    State,
    assert_fused,
    bare,
    draw_factors,
    entries,
    flat,
    kohya,
    layers,
    saved,
    tiny_unet,
    weight_of,
    weights,
)
from torch import nn

from fewstep.errors import InputError
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.family import Network
from fewstep.export.lora.fuse import fuse
from fewstep.export.lora.ldm_names import ldm_names
from fewstep.export.lora.module_names import Part, fusible, module_names
from fewstep.export.lora.read_lora import read_lora

LORAS: Any = diffusers.loaders.lora_conversion_utils
SINGLE_FILES: Any = diffusers.loaders.single_file_utils
BLOCK = "transformer_blocks"

# Of configs/stable-diffusion/v1-inference.yaml and configs/inference/sd_xl_base.yaml, by counting the blocks that
# ldm/modules/diffusionmodules/openaimodel.py appends.
BY_HAND = {
    "sd1": {
        "input_blocks.0.0": "conv_in",
        "input_blocks.1.0.in_layers.2": "down_blocks.0.resnets.0.conv1",
        "input_blocks.1.1.proj_in": "down_blocks.0.attentions.0.proj_in",
        "input_blocks.2.0.emb_layers.1": "down_blocks.0.resnets.1.time_emb_proj",
        "input_blocks.3.0.op": "down_blocks.0.downsamplers.0.conv",
        "input_blocks.4.0.skip_connection": "down_blocks.1.resnets.0.conv_shortcut",
        "input_blocks.4.1.transformer_blocks.0.attn1.to_q": f"down_blocks.1.attentions.0.{BLOCK}.0.attn1.to_q",
        "input_blocks.9.0.op": "down_blocks.2.downsamplers.0.conv",
        "input_blocks.11.0.out_layers.3": "down_blocks.3.resnets.1.conv2",
        "middle_block.0.in_layers.2": "mid_block.resnets.0.conv1",
        "middle_block.1.transformer_blocks.0.ff.net.0.proj": f"mid_block.attentions.0.{BLOCK}.0.ff.net.0.proj",
        "middle_block.2.out_layers.3": "mid_block.resnets.1.conv2",
        "output_blocks.2.1.conv": "up_blocks.0.upsamplers.0.conv",
        "output_blocks.3.1.proj_out": "up_blocks.1.attentions.0.proj_out",
        "output_blocks.5.2.conv": "up_blocks.1.upsamplers.0.conv",
        "output_blocks.8.2.conv": "up_blocks.2.upsamplers.0.conv",
        "output_blocks.11.1.transformer_blocks.0.attn2.to_out.0": f"up_blocks.3.attentions.2.{BLOCK}.0.attn2.to_out.0",
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
        "out.2": "conv_out",
    },
    "sdxl": {
        "input_blocks.3.0.op": "down_blocks.0.downsamplers.0.conv",
        "input_blocks.4.1.transformer_blocks.1.attn1.to_q": f"down_blocks.1.attentions.0.{BLOCK}.1.attn1.to_q",
        "input_blocks.5.0.in_layers.2": "down_blocks.1.resnets.1.conv1",
        "input_blocks.6.0.op": "down_blocks.1.downsamplers.0.conv",
        "input_blocks.8.1.transformer_blocks.9.ff.net.2": "down_blocks.2.attentions.1.transformer_blocks.9.ff.net.2",
        "middle_block.1.transformer_blocks.9.attn2.to_v": "mid_block.attentions.0.transformer_blocks.9.attn2.to_v",
        "output_blocks.2.1.proj_in": "up_blocks.0.attentions.2.proj_in",
        "output_blocks.2.2.conv": "up_blocks.0.upsamplers.0.conv",
        "output_blocks.3.1.transformer_blocks.0.attn1.to_k": "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k",
        "output_blocks.5.2.conv": "up_blocks.1.upsamplers.0.conv",
        "output_blocks.8.0.skip_connection": "up_blocks.2.resnets.2.conv_shortcut",
        "label_emb.0.0": "add_embedding.linear_1",
        "label_emb.0.2": "add_embedding.linear_2",
    },
}  # fmt: skip


@pytest.mark.parametrize("style", [kohya, lambda factors: bare(factors, "diffusion_model.")], ids=["kohya", "bare"])
def test_z_image_on_its_original_names(style: Callable[[Factors], State], tmp_path: Path) -> None:
    network = tiny_unet("z_image_turbo.transformer")
    names = [f"layers.0.attention.to_{part}" for part in "qkv"]
    out = "context_refiner.0.attention.to_out.0"
    factors = draw_factors(network, [*names, out])
    factors |= {name: replace(factors[name], down=factors[names[0]].down) for name in names}
    whole = replace(factors[names[0]], up=torch.cat([factors[name].up for name in names]))
    state = style({"layers.0.attention.qkv": whole, "context_refiner.0.attention.out": factors[out]})
    before = weights(network)
    lora = read_lora(saved(tmp_path / "lora.safetensors", state), {"transformer": network})
    fuse({"transformer": network}, [(lora, 1.0)])
    assert_fused(network, before, factors)


DENOISERS = (
    "sd-turbo", "sdxl-turbo", "hyper-sd15", "pixart-delta", "sana-sprint", "flux-schnell", "sd3.5-large-turbo",
    "z-image-turbo", "cd_imagenet64",
)  # fmt: skip


def full(name: str) -> nn.Module:
    """Of the published size, without its weights."""
    with torch.device("meta"):
        return FAMILIES[{"sd1": "hyper-sd15", "sdxl": "sdxl-turbo"}[name]].full.networks["unet"].make()


@pytest.mark.parametrize("name", BY_HAND)
def test_names_of_ldm(name: str) -> None:
    known = module_names(full(name))
    for ldm, module in BY_HAND[name].items():
        assert known[flat(ldm)] == (Part(module),), ldm


@pytest.mark.parametrize("name", BY_HAND)
def test_every_layer_has_the_name_that_diffusers_converts(name: str) -> None:
    """Of all weights of a checkpoint in LDM's names, diffusers' reader of single files makes its own names."""
    network: Any = full(name)
    names = ldm_names(layers(network))
    assert names.keys() == set(layers(network))
    prefix = "model.diffusion_model."
    checkpoint: dict[str, Any] = {f"{prefix}{ldm}.weight": module for module, ldm in names.items()}
    checkpoint |= {f"{prefix}{ldm}.bias": "" for ldm in names.values()}
    checkpoint |= {f"{prefix}out.0.{kind}": "" for kind in ("weight", "bias")}
    found = SINGLE_FILES.convert_ldm_unet_checkpoint(checkpoint, dict(network.config))
    assert {f"{module}.weight": module for module in names} == {key: value for key, value in found.items() if value}


def products(state: State) -> dict[str, torch.Tensor]:
    """The update of each module, of factors in any style of diffusers, without scales."""
    out = {}
    for key, down in state.items():
        for suffix, other in ((".lora_A.weight", ".lora_B.weight"), (".down.weight", ".up.weight")):
            if key.endswith(suffix):
                out[key.removesuffix(suffix)] = state[key.removesuffix(suffix) + other] @ down
    return out


def test_kohya_on_sgm_names_is_what_diffusers_makes_of_it() -> None:
    """Its converter names layers of attention as old diffusers did."""
    network = full("sdxl")
    names = [n for n in layers(network) if ("attentions" in n and "transformer_blocks.0." in n) or n.endswith(".conv1")]
    ldm = ldm_names(layers(network))
    state = {f"lora_unet_{flat(ldm[n])}.lora_down.weight": torch.full((1, 1), float(i)) for i, n in enumerate(names)}
    state |= {key.replace("_down", "_up"): torch.ones(1, 1) for key in state}
    config = SimpleNamespace(layers_per_block=2)
    blocks = LORAS._maybe_map_sgm_blocks_to_diffusers(state, config)
    converted, _ = LORAS._convert_non_diffusers_lora_to_diffusers(blocks)
    known = module_names(network)
    found = {}
    for stem, product in products(converted).items():
        (part,) = known[flat(stem.removeprefix("unet.").removesuffix("_lora").removesuffix(".lora"))]
        found[part.module] = product.item()
    assert found == {name: float(i) for i, name in enumerate(names)}


def test_flux_of_kohya_is_what_diffusers_makes_of_it() -> None:
    """Its converter has FLUX.1's published widths in it."""
    with torch.device("meta"):
        network = Network("diffusers", "FluxTransformer2DModel", {"num_layers": 2, "num_single_layers": 2}).make()
    known = module_names(network)
    originals = {
        name: parts
        for name, parts in known.items()
        if name.startswith(("double_", "single_blocks", "img_in", "txt_in", "time_in", "vector_in", "final_layer"))
    }
    generator = torch.Generator().manual_seed(0)
    state: State = {}
    expected = {}
    for name, parts in originals.items():
        rows = sum(part.size() for part in parts) or len(weight_of(network, parts[0].module))
        up, down = torch.randn(rows, 1, generator=generator), torch.randn(1, 1, generator=generator)
        state |= entries(f"lora_unet_{name}", Factor(down, up, None), ".lora_down", ".lora_up")
        for part in parts:
            chosen = torch.cat([up[start:stop] for start, stop in part.rows]) if part.rows else up
            expected[part.module] = chosen @ down
    found = products(LORAS._convert_kohya_flux_lora_to_diffusers(dict(state)))
    assert {name.removeprefix("transformer.") for name in found} == expected.keys() == set(layers(network))
    for name, product in found.items():
        torch.testing.assert_close(product, expected[name.removeprefix("transformer.")], rtol=1e-6, atol=0)


@pytest.mark.parametrize("family", DENOISERS)
def test_every_layer_of_a_denoiser_has_its_name(family: str) -> None:
    """Which no other has, at the published size."""
    networks = FAMILIES[family].full.networks
    with torch.device("meta"):
        network = networks["unet" if "unet" in networks else "transformer"].make()
    names = module_names(network)
    assert {name: names[flat(name)] for name in fusible(network)} == {name: (Part(name),) for name in fusible(network)}


def test_two_modules_of_one_flattened_name_are_refused() -> None:
    network = nn.ModuleDict({"a_b": nn.Linear(1, 1), "a": nn.ModuleDict({"b": nn.Linear(1, 1)})})
    with pytest.raises(InputError, match=r"a_b is the flattened name of a_b and of a\.b"):
        module_names(network)

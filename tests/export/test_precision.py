"""What stays float32 in half precision: the last layer, and an autoencoder that would overflow."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whole_families

import fewstep
from fewstep.export.families.build import build
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.precision import LAST, Wide, keep_wide

pytestmark = pytest.mark.filterwarnings("ignore")  # of diffusers and transformers


def test_every_denoiser_has_a_last_layer_that_is_known() -> None:
    kinds = {
        network.kind
        for family in FAMILIES.values()
        for role, network in family.full.networks.items()
        if role in ("unet", "transformer")
    }
    assert kinds == LAST.keys()


@pytest.mark.parametrize("name", ["sd-turbo", "pixart-delta", "z-image-turbo", "cd_imagenet64"])
@torch.no_grad()
def test_the_last_layer_is_float32(name: str) -> None:
    generation = build(name, "tiny", "cpu", torch.bfloat16)
    inputs = generation.random_inputs(1, seed=0)
    u = torch.randn(1, *generation.latent).to(torch.bfloat16)
    m = generation.denoiser(u, torch.full((1,), 500.0), *generation.prompt(*inputs.values()))
    assert m.dtype == torch.float32
    assert (m != m.to(torch.bfloat16)).float().mean() > 0.9  # nothing was rounded behind it
    wide = [module for module in generation.denoiser.modules() if isinstance(module, Wide)]
    assert [next(module.parameters()).dtype for module in wide] == [torch.float32]


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("sdxl-turbo", torch.float16, torch.float32),
        ("sdxl-turbo", torch.bfloat16, torch.bfloat16),
        ("sd-turbo", torch.float16, torch.float16),
    ],
)
def test_an_autoencoder_is_widened_where_it_says_so(name: str, dtype: torch.dtype, expected: torch.dtype) -> None:
    decoder: Any = build(name, "tiny", "cpu", dtype).decoder
    assert {parameter.dtype for parameter in decoder.vae.parameters()} == {expected}


def test_float32_stays_as_it_is() -> None:
    family = FAMILIES["sd-turbo"]
    networks = {role: network.make() for role, network in family.tiny.networks.items()}
    before = dict(networks["unet"].named_modules())
    keep_wide(networks, family.tiny.networks, torch.float32)
    assert dict(networks["unet"].named_modules()) == before


def test_pictures_of_an_autoencoder_that_overflows(tmp_path: Path) -> None:
    """Its first layer makes numbers of 10^6, which the norm behind it takes back."""
    diffusers: Any = pytest.importorskip("diffusers")
    folder = whole_families.write("sdxl-turbo", tmp_path / "model")
    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae")
    with torch.no_grad():
        vae.decoder.conv_in.weight *= 4e4
        vae.decoder.conv_in.bias *= 0
    vae.save_pretrained(folder / "vae")
    exact, half = (
        fewstep.load(folder, device="cpu", dtype=dtype)("a cat", seed=3, steps=1).images.astype(int)
        for dtype in ("fp32", "fp16")
    )
    assert np.abs(half - exact).max() <= 16 and np.abs(half - exact).mean() < 2
    (folder / "vae" / "config.json").write_text(
        (folder / "vae" / "config.json").read_text().replace('"force_upcast": true', '"force_upcast": false')
    )
    with pytest.raises(fewstep.BackendError, match="NaN or Inf"):
        fewstep.load(folder, device="cpu", dtype="fp16")("a cat", seed=3, steps=1)

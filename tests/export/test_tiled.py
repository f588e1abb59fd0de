"""Decoding in tiles: diffusers' own pictures, by every backend; and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from whole_pipelines import stable_diffusion

import fewstep
from fewstep._runtime import Program
from fewstep.errors import InputError
from fewstep.export.families.build import build
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.tiled import TiledDecoder, blend, tiled
from fewstep.export.from_checkpoint import Wanted
from fewstep.export.graph import trace
from fewstep.export.lower.compile_network import compile_network
from fewstep.export.lower.plan_file import write_plan

pytestmark = pytest.mark.filterwarnings("ignore")  # of diffusers and transformers
TILE = 8  # latents


def by_diffusers(vae: Any, factor: int) -> None:
    """Tiles of the same size, a quarter shared."""
    side = TILE * factor
    if hasattr(vae, "tile_overlap_factor"):
        vae.enable_tiling()
        vae.tile_sample_min_size, vae.tile_latent_min_size, vae.tile_overlap_factor = side, TILE, 0.25
    else:
        vae.enable_tiling(side, side, side * 3 // 4, side * 3 // 4)


@pytest.mark.parametrize("name", ["sd-turbo", "sana-sprint", "qwen-image-lightning"])
@pytest.mark.parametrize("shape", [(8, 9), (20, 17), (6, 14)], ids=str)
@torch.no_grad()
def test_it_decodes_as_diffusers_does(name: str, shape: tuple[int, int]) -> None:
    generation = build(name, "tiny", "cpu", torch.float32)
    decoder: Any = generation.decoder
    factor = generation.image[0] // generation.latent[1]
    if name == "qwen-image-lightning":  # diffusers clamps what it decodes, but not in tiles
        decoder.vae.decoder.conv_out.weight *= 0.2
    x = torch.randn(2, generation.latent[0], *shape, generator=torch.Generator().manual_seed(1))
    found = TiledDecoder(decoder, TILE, TILE * 3 // 4, factor)(x)
    whole = decoder(x)
    by_diffusers(decoder.vae, factor)
    expected = decoder(x)
    assert found.shape == expected.shape == (2, 3, shape[0] * factor, shape[1] * factor)
    assert (found - expected).abs().max() <= 2e-6 * expected.abs().max()
    assert (found - whole).abs().max() > 1e-3 * whole.abs().max()  # norms see a tile alone


def test_tiles_are_blended_in_line() -> None:
    before, after = torch.zeros(1, 1, 2, 6), torch.ones(1, 1, 2, 5)
    assert blend(before, after, 4, 3)[0, 0, 1].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert blend(before[..., :5], after, 9, 2)[0, 0, :, 0].tolist() == [0, 0.5]
    assert before.sum() == 0 and after.sum() == 10


def test_a_local_decoder_is_the_same_in_tiles() -> None:
    class Nearest(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :3].repeat_interleave(4, 2).repeat_interleave(4, 3)

    x = torch.randn(1, 4, 13, 22)
    torch.testing.assert_close(TiledDecoder(Nearest(), TILE, 6, 4)(x), Nearest()(x))


@torch.no_grad()
def test_a_plan_decodes_in_tiles(tmp_path: Path) -> None:
    generation = build("sd-turbo", "tiny", "cpu", torch.float32)
    decoder = TiledDecoder(generation.decoder, TILE, TILE * 3 // 4, generation.image[0] // generation.latent[1])
    x = torch.randn(1, generation.latent[0], 8, 12)
    graph = trace(decoder, {"x": x}, "pixels", any_batch=False)
    program, weights = compile_network(graph, sizes={}, target={"device": "cpu"}, precision="float32")
    write_plan(tmp_path / "decoder.fsp", program, weights)
    found = Program(tmp_path / "decoder.fsp").run({"x": x.numpy()})["pixels"]
    expected = decoder(x).numpy()
    assert np.abs(found - expected).max() <= 5e-6 * np.abs(expected).max()


def test_a_checkpoint_decodes_in_tiles(tmp_path: Path) -> None:
    folder = stable_diffusion(tmp_path / "model")
    request: dict[str, Any] = {"prompt": "a cat", "seed": 3, "steps": 1}
    whole, in_tiles = (
        fewstep.load(folder, device="cpu", size=(32, 48), tile=tile)(**request).images.astype(int)
        for tile in (None, 16)
    )
    assert in_tiles.shape == (1, 32, 48, 3) and np.abs(whole - in_tiles).max() > 1


def test_a_tile_that_holds_the_image_is_the_image() -> None:
    family, size = FAMILIES["sd-turbo"], FAMILIES["sd-turbo"].tiny
    networks = {role: network.make() for role, network in size.networks.items()}
    assert not isinstance(tiled(family, size, size.image[0]).decoder(networks, size), TiledDecoder)


@pytest.mark.parametrize(
    ("name", "tile", "why"),
    [
        ("sd-turbo", 12, "tile: expected a multiple of 8 pixels, got 12"),
        ("cd_imagenet64", 8, "tile: expected none, as cd_imagenet64 has no decoder"),
    ],
)
def test_what_is_refused(name: str, tile: int, why: str) -> None:
    with pytest.raises(InputError, match=why):
        tiled(FAMILIES[name], FAMILIES[name].tiny, tile)


@pytest.mark.parametrize("tile", [0, -8, 1.5, True, "8", 1 << 20])
def test_a_tile_is_a_number_of_pixels(tile: Any) -> None:
    with pytest.raises(InputError, match="tile: expected"):
        Wanted(tile=tile)

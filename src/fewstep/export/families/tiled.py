"""A decoder in tiles: large images in the memory that a tile takes, as diffusers' `enable_tiling` decodes them."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from fewstep.engine.checks import refuse
from fewstep.errors import InputError
from fewstep.export.families.family import Family, Networks, Size

OVERLAP = 4  # a quarter of a tile is its neighbour's too


class TiledDecoder(nn.Module):
    """tile, stride: in latents, tile > stride; factor: pixels a latent's side.

    Tiles go from left to right and from the top down, each blended in line with the one above, then with the one on its
    left. Norms see a tile alone, so colours may differ a little from those of the image decoded whole.
    """

    def __init__(self, decoder: nn.Module, tile: int, stride: int, factor: int) -> None:
        super().__init__()
        self.decoder, self.tile, self.stride, self.factor = decoder, tile, stride, factor

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, h, w) -> (B, 3, h * factor, w * factor)."""
        shared, kept = (self.tile - self.stride) * self.factor, self.stride * self.factor
        above: list[Tensor] = []
        rows = []
        for top in range(0, x.shape[2], self.stride):
            row: list[Tensor] = []
            for left in range(0, x.shape[3], self.stride):
                pixels = self.decoder(x[:, :, top : top + self.tile, left : left + self.tile])
                if above:
                    pixels = blend(above[len(row)], pixels, shared, 2)
                if row:
                    pixels = blend(row[-1], pixels, shared, 3)
                row.append(pixels)
            rows.append(torch.cat([pixels[:, :, :kept, :kept] for pixels in row], dim=3))
            above = row
        return torch.cat(rows, dim=2)


def blend(before: Tensor, after: Tensor, extent: int, dim: int) -> Tensor:
    """`after`, whose first `extent` along dim come from the last of `before`, in line."""
    extent = min(before.shape[dim], after.shape[dim], extent)
    ramp = torch.arange(extent, dtype=after.dtype, device=after.device) / extent
    ramp = ramp.reshape([-1 if axis == dim else 1 for axis in range(after.dim())])
    end, begin = before.narrow(dim, before.shape[dim] - extent, extent), after.narrow(dim, 0, extent)
    mixed = end * (1 - ramp) + begin * ramp
    return torch.cat([mixed, after.narrow(dim, extent, after.shape[dim] - extent)], dim=dim)


def tiled(family: Family, size: Size, tile: int) -> Family:
    """The family with a decoder of tiles of tile x tile pixels.

    Raises InputError unless that is a whole number of latents, OVERLAP of them at least, and for a family whose state
    is the picture.
    """
    factor = size.image[0] // size.latent[1]
    if "vae" not in size.networks:
        raise InputError(f"tile: expected none, as {family.name} has no decoder")
    if tile % (OVERLAP * factor):
        raise refuse("tile", f"a multiple of {OVERLAP * factor} pixels", tile)
    return replace(family, decoder=_decoder(family.decoder, tile // factor, factor))


def _decoder(
    make: Callable[[Networks, Size], nn.Module], tile: int, factor: int
) -> Callable[[Networks, Size], nn.Module]:
    def decoder(networks: Networks, size: Size) -> nn.Module:
        made = make(networks, size)
        return made if tile >= max(size.latent[1:]) else TiledDecoder(made, tile, tile - tile // OVERLAP, factor)

    return decoder

"""What stays float32 of networks in half precision: what they end with, and an autoencoder that overflows float16.

The sampler multiplies what a network returns, by 14.6 at Stable Diffusion's first step and by 157 at PixArt-delta's,
and with it the rounding of its last layer. State and update are float32 whatever the networks are.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fewstep.export.families.family import Network, Networks

LAST = {  # by class: the layer whose output is the network's but for its shape
    "UNet2DConditionModel": "conv_out",
    "UNet2DModel": "conv_out",
    "PixArtTransformer2DModel": "proj_out",
    "DiTTransformer2DModel": "proj_out_2",
    "SanaTransformer2DModel": "proj_out",
    "FluxTransformer2DModel": "proj_out",
    "SD3Transformer2DModel": "proj_out",
    "QwenImageTransformer2DModel": "proj_out",
    "ZImageTransformer2DModel": "all_final_layer.2-1.linear",
}


class Wide(nn.Module):
    """A layer in float32, of an input in half precision."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.float()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.float())
        return y


def keep_wide(networks: Networks, described: Mapping[str, Network], dtype: torch.dtype) -> None:
    """Widens in place what must not be of the half-precision dtype that the networks have.

    An autoencoder decodes in float32 where its configuration has `force_upcast`, as SDXL's does, and dtype is float16.
    """
    if dtype == torch.float32:
        return
    for role, network in networks.items():
        kind, config = described[role].kind, described[role].config
        if kind in LAST:
            owner, _, name = LAST[kind].rpartition(".")
            setattr(network.get_submodule(owner), name, Wide(network.get_submodule(LAST[kind])))
        if dtype == torch.float16 and config.get("force_upcast"):
            network.float()

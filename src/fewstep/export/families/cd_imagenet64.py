"""cd_imagenet64: the consistency model distilled on ImageNet at 64 pixels (arXiv:2303.01469). Classes, no latent."""

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Input
from fewstep.export.families.family import Config, Contract, Family, Network, Networks, Size


class Prompt(nn.Module):
    """Passes the classes on."""

    def forward(self, labels: Tensor) -> tuple[Tensor]:
        """labels: (B,) int64."""
        return (labels,)


class Denoiser(nn.Module):
    """m = F of u; tau is 250 ln sigma."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, u: Tensor, tau: Tensor, labels: Tensor) -> Tensor:
        m: Tensor = self.unet(u, tau, class_labels=labels, return_dict=False)[0]
        return m


class Decoder(nn.Module):
    """The state is the picture."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def prompt(networks: Networks, size: Size) -> nn.Module:
    return Prompt()


def denoiser(networks: Networks, size: Size) -> nn.Module:
    return Denoiser(networks["unet"])


def decoder(networks: Networks, size: Size) -> nn.Module:
    return Decoder()


def unet(levels: int, **config: object) -> Network:
    made: Config = {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ("ResnetDownsampleBlock2D", *["AttnDownBlock2D"] * (levels - 1)),
        "up_block_types": (*["AttnUpBlock2D"] * (levels - 1), "ResnetUpsampleBlock2D"),
        "resnet_time_scale_shift": "scale_shift",
        "upsample_type": "resnet",
        "downsample_type": "resnet",
        **config,
    }
    return Network("diffusers", "UNet2DModel", made)


TINY = Size(
    {
        "unet": unet(
            2,
            sample_size=8,
            layers_per_block=1,
            num_class_embeds=10,
            block_out_channels=(32, 64),
            attention_head_dim=32,
            norm_num_groups=2,
            attn_norm_num_groups=2,
        )
    },
    (Input("labels", (), torch.int64, 10),),
    latent=(3, 8, 8),
    image=(8, 8),
)
FULL = Size(
    {
        "unet": unet(
            4,
            sample_size=64,
            layers_per_block=3,
            num_class_embeds=1000,
            block_out_channels=(192, 384, 576, 768),
            attention_head_dim=64,
            attn_norm_num_groups=32,
        )
    },
    (Input("labels", (), torch.int64, 1000),),
    latent=(3, 64, 64),
    image=(64, 64),
)
CONTRACT = Contract("cm", 2, {1: {}, 2: {"timesteps": (22, 0)}})
FAMILY = Family("cd_imagenet64", TINY, FULL, CONTRACT, prompt, denoiser, decoder, torch.float16)

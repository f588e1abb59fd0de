"""OpenAI's consistency models (arXiv:2303.01469), distilled (cd) or trained alone (ct): pixels, no latent.

Those of ImageNet take a class, those of LSUN's bedrooms and cats nothing. The two-step times are the authors' own
(scripts/launch.sh), not the even ones that diffusers takes unless it is told.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Input
from fewstep.export.families.family import Config, Contract, Family, Network, Networks, Published, Size

DISTILLED = 40  # levels that the training ended with
IMAGENET_TRAINED, LSUN_TRAINED = 201, 151


class Prompt(nn.Module):
    """Passes the classes on."""

    def forward(self, labels: Tensor) -> tuple[Tensor]:
        """labels: (B,) int64."""
        return (labels,)


class NoPrompt(nn.Module):
    """There is nothing to ask for."""

    def forward(self) -> tuple[()]:
        return ()


class Denoiser(nn.Module):
    """m = F of u; tau is 250 ln sigma."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, u: Tensor, tau: Tensor, labels: Tensor) -> Tensor:
        m: Tensor = self.unet(u, tau, class_labels=labels, return_dict=False)[0]
        return m


class FreeDenoiser(Denoiser):
    """The same of a network without classes."""

    def forward(self, u: Tensor, tau: Tensor) -> Tensor:  # type: ignore[override]
        m: Tensor = self.unet(u, tau, return_dict=False)[0]
        return m


class Decoder(nn.Module):
    """The state is the picture."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Encoder(nn.Module):
    """The picture is the state."""

    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        return (pixels,)


def prompt(networks: Networks, size: Size) -> nn.Module:
    return Prompt() if size.inputs else NoPrompt()


def denoiser(networks: Networks, size: Size) -> nn.Module:
    return (Denoiser if size.inputs else FreeDenoiser)(networks["unet"])


def decoder(networks: Networks, size: Size) -> nn.Module:
    return Decoder()


def encoder(networks: Networks, size: Size) -> nn.Module:
    return Encoder()


def measure(networks: Mapping[str, Network], image: tuple[int, int] | None) -> Size:
    """The size that the UNet was trained at, or the one asked for."""
    unet = networks["unet"]
    side, classes = unet.setting("sample_size"), unet.setting("num_class_embeds")
    H, W = image or (side, side)
    labels = () if classes is None else (Input("labels", (), torch.int64, classes),)
    return Size(networks, labels, (unet.setting("in_channels"), H, W), (H, W))


def unet(levels: int, attended: int, **config: Any) -> Size:
    """attended: of the levels, the lowest ones, which have attention."""
    plain = levels - attended
    made: Config = {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ("ResnetDownsampleBlock2D",) * plain + ("AttnDownBlock2D",) * attended,
        "up_block_types": ("AttnUpBlock2D",) * attended + ("ResnetUpsampleBlock2D",) * plain,
        "upsample_type": "resnet",
        "downsample_type": "resnet",
        **config,
    }
    return measure({"unet": Network("diffusers", "UNet2DModel", made)}, None)


def imagenet(levels: int, **config: Any) -> Size:
    return unet(levels, levels - 1, resnet_time_scale_shift="scale_shift", **config)


SMALL: Config = {
    "sample_size": 8,
    "layers_per_block": 1,
    "block_out_channels": (32, 64),
    "attention_head_dim": 32,
    "norm_num_groups": 2,
}
IMAGENET_TINY = imagenet(2, **SMALL, num_class_embeds=10, attn_norm_num_groups=2)
IMAGENET = imagenet(
    4,
    sample_size=64,
    layers_per_block=3,
    num_class_embeds=1000,
    block_out_channels=(192, 384, 576, 768),
    attention_head_dim=64,
    attn_norm_num_groups=32,
)
LSUN_TINY = unet(2, 1, **SMALL)
LSUN = unet(
    6,
    3,
    sample_size=256,
    layers_per_block=2,
    block_out_channels=(256, 256, 512, 512, 1024, 1024),
    attention_head_dim=64,
)
PUBLISHED = Published(("ConsistencyModelPipeline",), {"unet": ("UNet2DModel",)}, measure)


def family(name: str, tiny: Size, full: Size, levels: int, second: int) -> Family:
    """second: the index of the second of two times."""
    grid: Config = {} if levels == DISTILLED else {"num_train_timesteps": levels}
    contract = Contract("cm", 2, {1: grid, 2: {**grid, "timesteps": (second, 0)}})
    return Family(name, tiny, full, contract, prompt, denoiser, decoder, encoder, torch.float16, PUBLISHED)


FAMILIES = (
    family("cd_imagenet64", IMAGENET_TINY, IMAGENET, DISTILLED, 22),
    family("ct_imagenet64", IMAGENET_TINY, IMAGENET, IMAGENET_TRAINED, 106),
    family("cd_bedroom256", LSUN_TINY, LSUN, DISTILLED, 17),
    family("cd_bedroom256_l2", LSUN_TINY, LSUN, DISTILLED, 18),
    family("ct_bedroom256", LSUN_TINY, LSUN, LSUN_TRAINED, 67),
    family("ct_cat256", LSUN_TINY, LSUN, LSUN_TRAINED, 62),
)

"""LCM_Dreamshaper_v7 (arXiv:2310.04378): SD 1.5 distilled with its guidance, an embedding beside the time's."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Input
from fewstep.export.families import sd15_distilled, sd_turbo
from fewstep.export.families.autoencoders import AUTOENCODERS, latent_decoder, latent_encoder
from fewstep.export.families.family import Contract, Family, Guidance, Network, Networks, Published, Size

GUIDANCE = Guidance(8.5, 3.0, 15.0)  # the w of 2 to 14 that it was distilled at, and 1
FREQUENCY, LONGEST = 1000.0, 10000.0


class Prompt(nn.Module):
    """The text encoder's last hidden states, and the embedding of w = guidance - 1."""

    def __init__(self, text_encoder: nn.Module, width: int) -> None:
        super().__init__()
        self.text_encoder, self.width = text_encoder, width

    def forward(self, ids: Tensor, guidance: Tensor) -> tuple[Tensor, Tensor]:
        """ids: (B, tokens) int64; guidance: (B,) float32 -> text (B, tokens, D), w (B, width)."""
        text = self.text_encoder(ids).last_hidden_state
        return text, embed(guidance - 1, self.width).to(text.dtype)


def embed(w: Tensor, width: int) -> Tensor:
    """Sines, then cosines, of 1000 w: w (B,) float32 -> (B, width) float32, width even."""
    half = width // 2
    rates = torch.exp(torch.arange(half, dtype=torch.float32, device=w.device) * -(math.log(LONGEST) / (half - 1)))
    angles = FREQUENCY * w[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Denoiser(nn.Module):
    """m = eps of u; tau is the training time, 0 to 999."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, u: Tensor, tau: Tensor, text: Tensor, w: Tensor) -> Tensor:
        m: Tensor = self.unet(u, tau, encoder_hidden_states=text, timestep_cond=w, return_dict=False)[0]
        return m


def prompt(networks: Networks, size: Size) -> nn.Module:
    unet: Any = networks["unet"]
    return Prompt(networks["text_encoder"], unet.config.time_cond_proj_dim)


def denoiser(networks: Networks, size: Size) -> nn.Module:
    return Denoiser(networks["unet"])


def measure(networks: Mapping[str, Network], image: tuple[int, int] | None) -> Size:
    """SD's, with the guidance scale as one more input."""
    size = sd_turbo.sized(networks, image)
    guidance = Input(GUIDANCE.input, (), torch.float32)
    return replace(size, inputs=(*size.inputs, guidance), guidance=GUIDANCE)


TINY = measure(
    {**sd15_distilled.TINY.networks, "unet": sd15_distilled.unet(**sd15_distilled.UNET_TINY, time_cond_proj_dim=8)},
    None,
)
FULL = measure({**sd15_distilled.FULL.networks, "unet": sd15_distilled.unet(time_cond_proj_dim=256)}, None)
CONTRACT = Contract("lcm", 4, {N: {} for N in range(1, 9)})
PUBLISHED = Published(
    ("LatentConsistencyModelPipeline",),
    {"text_encoder": ("CLIPTextModel",), "unet": ("UNet2DConditionModel",), "vae": AUTOENCODERS},
    measure,
)
FAMILY = Family(
    "lcm-dreamshaper", TINY, FULL, CONTRACT, prompt, denoiser, latent_decoder, latent_encoder, torch.float16, PUBLISHED
)

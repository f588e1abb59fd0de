"""SANA-Sprint (arXiv:2503.09641) at 1024 pixels: linear attention, DC-AE latents of 32 x 32, guidance as an embedding.

The text enters as Gemma-2's last hidden states, of which the first `lengths` count.
"""

from typing import Any

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Input
from fewstep.export.families.autoencoders import DC_AE_FULL, DC_AE_TINY, latent_decoder
from fewstep.export.families.family import Config, Contract, Family, Network, Networks, Size

GUIDANCE = 4.5  # what SanaSprintPipeline asks for by default


class Prompt(nn.Module):
    """Passes the features on, and how many of them count."""

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """features: (B, tokens, D); lengths: (B,) int64."""
        return features, lengths


class Denoiser(nn.Module):
    """m = z - x_0 of u; tau is the noise level s in [0, 1]."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer
        self.guidance: float = GUIDANCE * transformer.config.guidance_embeds_scale

    def forward(self, u: Tensor, tau: Tensor, features: Tensor, lengths: Tensor) -> Tensor:
        mask = torch.arange(features.shape[1], device=lengths.device) < lengths[:, None]
        m: Tensor = self.transformer(
            u,
            encoder_hidden_states=features,
            timestep=tau,
            guidance=torch.full_like(tau, self.guidance),
            encoder_attention_mask=mask.to(torch.int64),
            return_dict=False,
        )[0]
        return m


def prompt(networks: Networks, size: Size) -> nn.Module:
    return Prompt()


def denoiser(networks: Networks, size: Size) -> nn.Module:
    return Denoiser(networks["transformer"])


def transformer(layers: int, heads: tuple[int, int], cross: tuple[int, int], **config: object) -> Network:
    """heads, cross: number and width of the heads of self- and cross-attention."""
    made: Config = {
        "num_layers": layers,
        "num_attention_heads": heads[0],
        "attention_head_dim": heads[1],
        "num_cross_attention_heads": cross[0],
        "cross_attention_head_dim": cross[1],
        "cross_attention_dim": cross[0] * cross[1],
        "sample_size": 32,
        "qk_norm": "rms_norm_across_heads",
        "guidance_embeds": True,
        **config,
    }
    return Network("diffusers", "SanaTransformer2DModel", made)


def full(layers: int, heads: tuple[int, int], cross: tuple[int, int]) -> Size:
    return Size(
        {"transformer": transformer(layers, heads, cross), "vae": Network("diffusers", "AutoencoderDC", DC_AE_FULL)},
        (Input("features", (300, 2304), torch.bfloat16), Input("lengths", (), torch.int64, 301, low=1)),
        latent=(32, 32, 32),
        image=(1024, 1024),
    )


TINY = Size(
    {
        "transformer": transformer(1, (2, 32), (2, 32), in_channels=4, out_channels=4, caption_channels=24),
        "vae": Network("diffusers", "AutoencoderDC", DC_AE_TINY),
    },
    (Input("features", (7, 24), torch.float32), Input("lengths", (), torch.int64, 8, low=1)),
    latent=(4, 4, 4),
    image=(8, 8),
)
CONTRACT = Contract("sana-sprint", 2, {N: {} for N in (1, 2, 3, 4)})
FAMILY = Family(
    "sana-sprint", TINY, full(28, (36, 32), (16, 72)), CONTRACT, prompt, denoiser, latent_decoder, torch.bfloat16
)
FAMILY_1_6B = Family(
    "sana-sprint-1.6b", TINY, full(20, (70, 32), (20, 112)), CONTRACT, prompt, denoiser, latent_decoder, torch.bfloat16
)

"""SD-Turbo: Stable Diffusion 2.1 at 512 pixels, distilled by ADD (arXiv:2311.17042) to one to four steps."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Input
from fewstep.engine.checks import refuse
from fewstep.export.families import clip_text
from fewstep.export.families.autoencoders import (
    AUTOENCODERS,
    autoencoder_kl,
    image_shape,
    latent_decoder,
    latent_encoder,
    latent_shape,
)
from fewstep.export.families.family import Contract, Family, Network, Networks, Published, Size, Text


class Prompt(nn.Module):
    """The text encoder's last hidden states."""

    def __init__(self, text_encoder: nn.Module) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(self, ids: Tensor) -> tuple[Tensor]:
        """ids: (B, tokens) int64 -> ((B, tokens, D),)."""
        return (self.text_encoder(ids).last_hidden_state,)


class Denoiser(nn.Module):
    """m = eps of u; tau is the training time, 0 to 999."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, u: Tensor, tau: Tensor, text: Tensor) -> Tensor:
        m: Tensor = self.unet(u, tau, encoder_hidden_states=text, return_dict=False)[0]
        return m


def prompt(networks: Networks, size: Size) -> nn.Module:
    return Prompt(networks["text_encoder"])


def denoiser(networks: Networks, size: Size) -> nn.Module:
    return Denoiser(networks["unet"])


def unet(**config: Any) -> Network:
    return Network("diffusers", "UNet2DConditionModel", {"use_linear_projection": True, **config})


def measure(networks: Mapping[str, Network], image: tuple[int, int] | None) -> Size:
    """The size that the UNet was trained at, or the one asked for."""
    check_unguided(networks["unet"])
    return sized(networks, image)


def check_unguided(unet: Network) -> None:
    """Raises InputError for a UNet that takes its guidance as an embedding: without one it would run, and be wrong."""
    if unet.setting("time_cond_proj_dim") is not None:
        raise refuse(
            "unet: time_cond_proj_dim", "None, as this family has no guidance", unet.config["time_cond_proj_dim"]
        )


def sized(networks: Mapping[str, Network], image: tuple[int, int] | None) -> Size:
    tokens, vocabulary = (networks["text_encoder"].setting(key) for key in ("max_position_embeddings", "vocab_size"))
    latent = latent_shape(networks["unet"], networks["vae"], image)
    return Size(
        networks,
        (Input("ids", (tokens,), torch.int64, vocabulary),),
        latent,
        image_shape(networks["vae"], latent),
        (Text("tokenizer", "ids", tokens),),
    )


VAE_TINY, VAE_FULL = autoencoder_kl(4, scaling_factor=0.18215)
TINY = measure(
    {
        "text_encoder": clip_text.clip_text(clip_text.TINY),
        "unet": unet(
            sample_size=8,
            layers_per_block=1,
            block_out_channels=(32, 64),
            norm_num_groups=2,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=(1, 2),
        ),
        "vae": VAE_TINY,
    },
    None,
)
FULL = measure(
    {
        "text_encoder": clip_text.clip_text(clip_text.OPENCLIP_H),
        "unet": unet(
            sample_size=64,
            cross_attention_dim=1024,
            attention_head_dim=(5, 10, 20, 20),
        ),
        "vae": VAE_FULL,
    },
    None,
)
CONTRACT = Contract("euler", 1, {N: {"timestep_spacing": "trailing"} for N in (1, 2, 3, 4)})
PUBLISHED = Published(
    ("StableDiffusionPipeline",),
    {"text_encoder": ("CLIPTextModel",), "unet": ("UNet2DConditionModel",), "vae": AUTOENCODERS},
    measure,
)
FAMILY = Family(
    "sd-turbo", TINY, FULL, CONTRACT, prompt, denoiser, latent_decoder, latent_encoder, torch.float16, PUBLISHED
)

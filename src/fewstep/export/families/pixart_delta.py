"""PixArt-delta (arXiv:2401.05252): a diffusion transformer on T5's hidden states, distilled by LCM.

The checkpoint of 1024 pixels is also told the picture's size and proportions, that of 512 is not.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Input
from fewstep.export.families.autoencoders import (
    AUTOENCODERS,
    autoencoder_kl,
    image_shape,
    latent_decoder,
    latent_encoder,
    latent_shape,
)
from fewstep.export.families.family import Contract, Family, Network, Networks, Published, Size, Text
from fewstep.export.families.t5_text import TINY as T5_TINY
from fewstep.export.families.t5_text import XXL, t5_text

TOKENS = 120
PATCH = 2
TOLD_ITS_SIZE = 128  # the sample_size of which PixArtAlphaPipeline tells a network the size


class Prompt(nn.Module):
    """T5's last hidden states, how many of them count, and, for a network that is told, the picture's size."""

    size: Tensor

    def __init__(self, text_encoder: nn.Module, image: tuple[int, int], told: bool) -> None:
        super().__init__()
        self.text_encoder, self.told = text_encoder, told
        size = torch.tensor([*image, image[0] / image[1]], dtype=torch.float32)
        self.register_buffer("size", size, persistent=False)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """ids, mask: (B, tokens) int64 -> text (B, tokens, D), lengths (B,), size (B, 2) and proportions (B, 1)."""
        text = self.text_encoder(ids, attention_mask=mask).last_hidden_state
        lengths = mask.sum(dim=1)
        if not self.told:
            return text, lengths
        size = self.size.to(text.dtype).expand(ids.shape[0], -1)
        return text, lengths, size[:, :2], size[:, 2:]


class Denoiser(nn.Module):
    """m = eps of u; tau is the training time, 0 to 999. The channels after eps are a variance that nothing reads."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, u: Tensor, tau: Tensor, text: Tensor, lengths: Tensor) -> Tensor:
        return self.eps(u, tau, text, lengths, {"resolution": None, "aspect_ratio": None})

    def eps(self, u: Tensor, tau: Tensor, text: Tensor, lengths: Tensor, told: Mapping[str, Tensor | None]) -> Tensor:
        counted = torch.arange(text.shape[1], device=lengths.device) < lengths[:, None]
        m: Tensor = self.transformer(
            u,
            encoder_hidden_states=text,
            timestep=tau,
            added_cond_kwargs=told,
            encoder_attention_mask=counted.to(torch.int64),
            return_dict=False,
        )[0]
        return m[:, : u.shape[1]]


class ToldDenoiser(Denoiser):
    """The same of a network that is told the picture's size."""

    def forward(  # type: ignore[override]
        self, u: Tensor, tau: Tensor, text: Tensor, lengths: Tensor, resolution: Tensor, aspect_ratio: Tensor
    ) -> Tensor:
        return self.eps(u, tau, text, lengths, {"resolution": resolution, "aspect_ratio": aspect_ratio})


def prompt(networks: Networks, size: Size) -> nn.Module:
    return Prompt(networks["text_encoder"], size.image, told(networks))


def denoiser(networks: Networks, size: Size) -> nn.Module:
    return (ToldDenoiser if told(networks) else Denoiser)(networks["transformer"])


def told(networks: Networks) -> bool:
    transformer: Any = networks["transformer"]
    return bool(transformer.config.sample_size == TOLD_ITS_SIZE)


def measure(networks: Mapping[str, Network], image: tuple[int, int] | None) -> Size:
    """The size that the transformer was trained at, or the one asked for."""
    latent = latent_shape(networks["transformer"], networks["vae"], image, PATCH)
    vocabulary = networks["text_encoder"].setting("vocab_size")
    return Size(
        networks,
        (Input("ids", (TOKENS,), torch.int64, vocabulary), Input("mask", (TOKENS,), torch.int64, 2)),
        latent,
        image_shape(networks["vae"], latent),
        (Text("tokenizer", "ids", TOKENS, mask="mask", lower=True),),
    )


def transformer(**config: object) -> Network:
    return Network("diffusers", "PixArtTransformer2DModel", config)


VAE_TINY, VAE_FULL = autoencoder_kl(4, scaling_factor=0.18215)
HEADS_TINY = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "num_layers": 1,
    "cross_attention_dim": 24,
    "caption_channels": 24,
}


def tiny(sample_size: int) -> Size:
    networks = {
        "text_encoder": t5_text(T5_TINY),
        "transformer": transformer(**HEADS_TINY, sample_size=sample_size),
        "vae": VAE_TINY,
    }
    return measure(networks, (16, 16))


def full(sample_size: int) -> Size:
    networks = {
        "text_encoder": t5_text(XXL),
        "transformer": transformer(sample_size=sample_size, caption_channels=4096),
        "vae": VAE_FULL,
    }
    return measure(networks, None)


LINEAR = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
CONTRACT = Contract("lcm", 4, dict.fromkeys(range(1, 9), LINEAR))
PUBLISHED = Published(
    ("PixArtAlphaPipeline",),
    {
        "text_encoder": ("T5EncoderModel",),
        "transformer": ("PixArtTransformer2DModel", "Transformer2DModel"),
        "vae": AUTOENCODERS,
    },
    measure,
)


def family(name: str, sample_size: int) -> Family:
    return Family(
        name,
        tiny(TOLD_ITS_SIZE if sample_size == TOLD_ITS_SIZE else 8),
        full(sample_size),
        CONTRACT,
        prompt,
        denoiser,
        latent_decoder,
        latent_encoder,
        torch.bfloat16,
        PUBLISHED,
    )


FAMILY = family("pixart-delta", TOLD_ITS_SIZE)
FAMILY_512 = family("pixart-delta-512", 64)

"""SANA-Sprint (arXiv:2503.09641) at 1024 pixels: linear attention, DC-AE latents of 32 x 32, guidance as an embedding.

The text enters as Gemma-2's last hidden states, of which the first `lengths` count. A size without the text encoder
takes these as they are, and the guidance that the pipeline asks for by default.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Input
from fewstep.export.families.autoencoders import (
    DC_AE_FULL,
    DC_AE_TINY,
    image_shape,
    latent_decoder,
    latent_encoder,
    latent_shape,
)
from fewstep.export.families.family import (
    Config,
    Contract,
    Family,
    Guidance,
    Network,
    Networks,
    Published,
    Size,
    Text,
)

GUIDANCE = Guidance(4.5, 4.0, 5.0)  # what SanaSprintPipeline asks for by default, and the scales of the distillation
TOKENS = 300
INSTRUCTION = "\n".join(
    (
        "Given a user prompt, generate an 'Enhanced prompt' that provides detailed visual descriptions suitable for "
        "image generation. Evaluate the level of detail in the user prompt:",
        "- If the prompt is simple, focus on adding specifics about colors, shapes, sizes, textures, and spatial "
        "relationships to create vivid and concrete scenes.",
        "- If the prompt is already detailed, refine and enhance the existing details slightly without "
        "overcomplicating.",
        "Here are examples of how to transform or refine prompts:",
        "- User Prompt: A cat sleeping -> Enhanced: A small, fluffy white cat curled up in a round shape, sleeping "
        "peacefully on a warm sunny windowsill, surrounded by pots of blooming red flowers.",
        "- User Prompt: A busy city street -> Enhanced: A bustling city street scene at dusk, featuring glowing "
        "street lamps, a diverse crowd of people in colorful clothing, and a double-decker bus passing by towering "
        "glass skyscrapers.",
        "Please generate only the enhanced description for the prompt below and avoid including any additional "
        "commentary or evaluations:",
        "User Prompt: ",
    )
)


class TextPrompt(nn.Module):
    """Gemma-2's last hidden states of the first token and the last 299, how many of them count, and the guidance."""

    def __init__(self, text_encoder: nn.Module, scale: float) -> None:
        super().__init__()
        self.text_encoder, self.scale = text_encoder, scale

    def forward(self, ids: Tensor, mask: Tensor, guidance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """ids, mask: (B, tokens of the instruction and of the prompt) int64, padding last; guidance: (B,) float32."""
        hidden = self.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return kept(hidden), kept(mask).sum(dim=1), guidance * self.scale


def kept(x: Tensor) -> Tensor:
    return torch.cat([x[:, :1], x[:, 1 - TOKENS :]], dim=1)


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
        self.guidance: float = GUIDANCE.default * transformer.config.guidance_embeds_scale

    def forward(self, u: Tensor, tau: Tensor, features: Tensor, lengths: Tensor) -> Tensor:
        return self.velocity(u, tau, features, lengths, torch.full_like(tau, self.guidance))

    def velocity(self, u: Tensor, tau: Tensor, features: Tensor, lengths: Tensor, guidance: Tensor) -> Tensor:
        mask = torch.arange(features.shape[1], device=lengths.device) < lengths[:, None]
        m: Tensor = self.transformer(
            u,
            encoder_hidden_states=features,
            timestep=tau,
            guidance=guidance,
            encoder_attention_mask=mask.to(torch.int64),
            return_dict=False,
        )[0]
        return m


class GuidedDenoiser(Denoiser):
    """The same with the guidance, scaled, of each image."""

    def forward(  # type: ignore[override]
        self, u: Tensor, tau: Tensor, features: Tensor, lengths: Tensor, scale: Tensor
    ) -> Tensor:
        return self.velocity(u, tau, features, lengths, scale)


def prompt(networks: Networks, size: Size) -> nn.Module:
    transformer: Any = networks["transformer"]
    if "text_encoder" not in networks:
        return Prompt()
    return TextPrompt(networks["text_encoder"], transformer.config.guidance_embeds_scale)


def denoiser(networks: Networks, size: Size) -> nn.Module:
    return (GuidedDenoiser if "text_encoder" in networks else Denoiser)(networks["transformer"])


def measure(networks: Mapping[str, Network], image: tuple[int, int] | None) -> Size:
    """The size that the transformer was trained at, or the one asked for."""
    latent = latent_shape(networks["transformer"], networks["vae"], image)
    pixels = image_shape(networks["vae"], latent)
    if "text_encoder" not in networks:
        features = Input("features", (TOKENS, networks["transformer"].setting("caption_channels")), torch.bfloat16)
        return Size(networks, (features, Input("lengths", (), torch.int64, TOKENS + 1, low=1)), latent, pixels)
    vocabulary = networks["text_encoder"].setting("vocab_size")
    return Size(
        networks,
        (
            Input("ids", (TOKENS,), torch.int64, vocabulary),
            Input("mask", (TOKENS,), torch.int64, 2),
            Input(GUIDANCE.input, (), torch.float32),
        ),
        latent,
        pixels,
        (Text("tokenizer", "ids", TOKENS, mask="mask", template=INSTRUCTION + "{}", lower=True, instructed=True),),
        GUIDANCE,
    )


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
    vae = Network("diffusers", "AutoencoderDC", DC_AE_FULL)
    return measure({"transformer": transformer(layers, heads, cross), "vae": vae}, None)


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
PUBLISHED = Published(
    ("SanaSprintPipeline",),
    {"text_encoder": ("Gemma2Model",), "transformer": ("SanaTransformer2DModel",), "vae": ("AutoencoderDC",)},
    measure,
    sampler="scm",
)


def family(name: str, full: Size) -> Family:
    return Family(
        name, TINY, full, CONTRACT, prompt, denoiser, latent_decoder, latent_encoder, torch.bfloat16, PUBLISHED
    )


FULL_0_6B, FULL_1_6B = full(28, (36, 32), (16, 72)), full(20, (70, 32), (20, 112))
FAMILY = family("sana-sprint", FULL_0_6B)
FAMILY_1_6B = family("sana-sprint-1.6b", FULL_1_6B)

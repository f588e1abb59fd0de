"""Stable Diffusion 3.5 Large Turbo: a flow transformer (arXiv:2403.03206) distilled by ADD to four steps.

The text is that of three encoders: both CLIPs' next to last hidden states side by side, filled up with zeros to T5's
width, then T5's, which are zeros where a checkpoint leaves T5 out.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Input
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
from fewstep.export.families.t5_text import TINY as T5_TINY
from fewstep.export.families.t5_text import XXL, t5_text

T5_TOKENS = 256
PATCH = 2
CLIPS = {"text_encoder": ("tokenizer", "ids"), "text_encoder_2": ("tokenizer_2", "ids_2")}
T5 = "text_encoder_3"


class Prompt(nn.Module):
    """The three encoders' hidden states as one text, and both CLIPs' projected texts as one."""

    def __init__(self, first: nn.Module, second: nn.Module, third: nn.Module | None, width: int) -> None:
        super().__init__()
        self.first, self.second, self.third, self.width = first, second, third, width

    def forward(self, ids: Tensor, ids_2: Tensor, ids_3: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """ids, ids_2, ids_3: (B, tokens of each) int64 -> text (B, CLIP's + T5's, width), pooled (B, P + P_2)."""
        one = self.first(ids, output_hidden_states=True)
        two = self.second(ids_2, output_hidden_states=True)
        clip = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1)
        clip = nn.functional.pad(clip, (0, self.width - clip.shape[-1]))
        if self.third is None:
            t5 = clip.new_zeros(ids.shape[0], T5_TOKENS, self.width)
        else:
            t5 = self.third(ids_3).last_hidden_state
        return torch.cat([clip, t5], dim=1), torch.cat([one.text_embeds, two.text_embeds], dim=-1)


class Denoiser(nn.Module):
    """m = z - x_0 of u; tau is 1000 times the noise level."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, u: Tensor, tau: Tensor, text: Tensor, pooled: Tensor) -> Tensor:
        m: Tensor = self.transformer(
            u, encoder_hidden_states=text, pooled_projections=pooled, timestep=tau, return_dict=False
        )[0]
        return m


def prompt(networks: Networks, size: Size) -> nn.Module:
    transformer: Any = networks["transformer"]
    width = transformer.config.joint_attention_dim
    return Prompt(networks["text_encoder"], networks["text_encoder_2"], networks.get(T5), width)


def denoiser(networks: Networks, size: Size) -> nn.Module:
    return Denoiser(networks["transformer"])


def measure(networks: Mapping[str, Network], image: tuple[int, int] | None) -> Size:
    """The size that the transformer was trained at, or the one asked for. T5 may be missing."""
    latent = latent_shape(networks["transformer"], networks["vae"], image, PATCH)
    inputs, texts = [], []
    for role, (tokenizer, ids) in CLIPS.items():
        tokens, vocabulary = (networks[role].setting(key) for key in ("max_position_embeddings", "vocab_size"))
        inputs.append(Input(ids, (tokens,), torch.int64, vocabulary))
        texts.append(Text(tokenizer, ids, tokens))
    if T5 in networks:
        inputs.append(Input("ids_3", (T5_TOKENS,), torch.int64, networks[T5].setting("vocab_size")))
        texts.append(Text("tokenizer_3", "ids_3", T5_TOKENS))
    return Size(networks, tuple(inputs), latent, image_shape(networks["vae"], latent), tuple(texts))


VAE_TINY, _ = autoencoder_kl(
    4, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False
)
_, VAE_FULL = autoencoder_kl(
    16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False
)
TINY = measure(
    {
        "text_encoder": clip_text.clip_text(
            {**clip_text.TINY, "hidden_size": 8, "num_attention_heads": 1}, projected=True
        ),
        "text_encoder_2": clip_text.clip_text({**clip_text.TINY, "hidden_size": 12}, projected=True),
        T5: t5_text(T5_TINY),
        "transformer": Network(
            "diffusers",
            "SD3Transformer2DModel",
            {
                "sample_size": 8,
                "in_channels": 4,
                "num_layers": 2,
                "attention_head_dim": 8,
                "num_attention_heads": 2,
                "joint_attention_dim": 24,
                "caption_projection_dim": 16,
                "pooled_projection_dim": 64,
                "out_channels": 4,
                "pos_embed_max_size": 24,
                "qk_norm": "rms_norm",
            },
        ),
        "vae": VAE_TINY,
    },
    None,
)
FULL = measure(
    {
        "text_encoder": clip_text.clip_text(clip_text.CLIP_L, projected=True),
        "text_encoder_2": clip_text.clip_text(clip_text.OPENCLIP_BIGG, projected=True),
        T5: t5_text(XXL),
        "transformer": Network(
            "diffusers",
            "SD3Transformer2DModel",
            {
                "num_layers": 38,
                "num_attention_heads": 38,
                "caption_projection_dim": 2432,
                "pos_embed_max_size": 192,
                "qk_norm": "rms_norm",
            },
        ),
        "vae": VAE_FULL,
    },
    None,
)
# The scheduler's own levels, which its pipeline leaves to it: shifted twice at the lower end.
CONTRACT = Contract("flow-euler", 4, {N: {"shift": 3.0, "timestep_spacing": "linspace"} for N in (1, 2, 3, 4)})
PUBLISHED = Published(
    ("StableDiffusion3Pipeline",),
    {
        "text_encoder": ("CLIPTextModelWithProjection",),
        "text_encoder_2": ("CLIPTextModelWithProjection",),
        T5: ("T5EncoderModel",),
        "transformer": ("SD3Transformer2DModel",),
        "vae": AUTOENCODERS,
    },
    measure,
    frozenset({T5}),
)
FAMILY = Family(
    "sd3.5-large-turbo",
    TINY,
    FULL,
    CONTRACT,
    prompt,
    denoiser,
    latent_decoder,
    latent_encoder,
    torch.bfloat16,
    PUBLISHED,
)

"""SDXL-Turbo: SDXL at 512 pixels, distilled by ADD (arXiv:2311.17042). Two text encoders, size and pooled text."""

from collections.abc import Mapping

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
from fewstep.export.families.sd_turbo import check_unguided, unet


class Prompt(nn.Module):
    """The next to last hidden states of both encoders, the second's pooled text, and the picture's size as numbers."""

    numbers: Tensor

    def __init__(self, first: nn.Module, second: nn.Module, image: tuple[int, int]) -> None:
        super().__init__()
        self.first, self.second = first, second
        original, crop, target = image, (0, 0), image
        self.register_buffer("numbers", torch.tensor([*original, *crop, *target]), persistent=False)

    def forward(self, ids: Tensor, ids_2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """ids, ids_2: (B, tokens) int64 -> text (B, tokens, D + D_2), pooled (B, P), time_ids (B, 6)."""
        one = self.first(ids, output_hidden_states=True).hidden_states[-2]
        two = self.second(ids_2, output_hidden_states=True)
        text = torch.cat([one, two.hidden_states[-2]], dim=-1)
        return text, two.text_embeds, self.numbers.expand(ids.shape[0], -1)


class Denoiser(nn.Module):
    """m = eps of u; tau is the training time, 0 to 999."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, u: Tensor, tau: Tensor, text: Tensor, pooled: Tensor, time_ids: Tensor) -> Tensor:
        added = {"text_embeds": pooled, "time_ids": time_ids}
        m: Tensor = self.unet(u, tau, encoder_hidden_states=text, added_cond_kwargs=added, return_dict=False)[0]
        return m


def prompt(networks: Networks, size: Size) -> nn.Module:
    return Prompt(networks["text_encoder"], networks["text_encoder_2"], size.image)


def denoiser(networks: Networks, size: Size) -> nn.Module:
    return Denoiser(networks["unet"])


TEXTS = {"text_encoder": ("tokenizer", "ids"), "text_encoder_2": ("tokenizer_2", "ids_2")}


def measure(networks: Mapping[str, Network], image: tuple[int, int] | None) -> Size:
    """The size that the UNet was trained at, or the one asked for."""
    check_unguided(networks["unet"])
    latent = latent_shape(networks["unet"], networks["vae"], image)
    inputs, texts = [], []
    for role, (tokenizer, ids) in TEXTS.items():
        tokens, vocabulary = (networks[role].setting(key) for key in ("max_position_embeddings", "vocab_size"))
        inputs.append(Input(ids, (tokens,), torch.int64, vocabulary))
        texts.append(Text(tokenizer, ids, tokens))
    return Size(networks, tuple(inputs), latent, image_shape(networks["vae"], latent), tuple(texts))


VAE_TINY, VAE_FULL = autoencoder_kl(4, scaling_factor=0.13025, force_upcast=True)
TINY = measure(
    {
        "text_encoder": clip_text.clip_text(clip_text.TINY),
        "text_encoder_2": clip_text.clip_text(clip_text.TINY, projected=True),
        "unet": unet(
            sample_size=8,
            layers_per_block=1,
            block_out_channels=(32, 64),
            norm_num_groups=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2),
            cross_attention_dim=64,
            attention_head_dim=(1, 2),
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32,
        ),
        "vae": VAE_TINY,
    },
    None,
)
FULL = measure(
    {
        "text_encoder": clip_text.clip_text(clip_text.CLIP_L),
        "text_encoder_2": clip_text.clip_text(clip_text.OPENCLIP_BIGG, projected=True),
        "unet": unet(
            sample_size=64,
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10),
            cross_attention_dim=2048,
            attention_head_dim=(5, 10, 20),
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=6 * 256 + 1280,
        ),
        "vae": VAE_FULL,
    },
    None,
)
CONTRACT = Contract("euler-ancestral", 1, {N: {"timestep_spacing": "trailing"} for N in (1, 2, 3, 4)})
PUBLISHED = Published(
    ("StableDiffusionXLPipeline",),
    {
        "text_encoder": ("CLIPTextModel",),
        "text_encoder_2": ("CLIPTextModelWithProjection",),
        "unet": ("UNet2DConditionModel",),
        "vae": AUTOENCODERS,
    },
    measure,
)
FAMILY = Family(
    "sdxl-turbo", TINY, FULL, CONTRACT, prompt, denoiser, latent_decoder, latent_encoder, torch.bfloat16, PUBLISHED
)

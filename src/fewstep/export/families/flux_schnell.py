"""FLUX.1-schnell at 1024 pixels: a flow transformer on 2 x 2 patches of a 16-channel latent, distilled to 1 to 4 steps.

The text enters as T5's hidden states and CLIP's pooled output. A size without text encoders takes these as they are:
they are a third of the weights, and measurements of the rest need none.
"""

from collections.abc import Mapping

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
from fewstep.export.families.family import Contract, Family, Network, Networks, Published, Size, Text, linear_sigmas

PATCH = 2
TRAINING_TIMES = 1000
T5_TOKENS = 256
NATIVE = (1024, 1024)
CLIP, T5 = "text_encoder", "text_encoder_2"


class TextPrompt(nn.Module):
    """T5's last hidden states, padding and all, and CLIP's pooled output."""

    def __init__(self, clip: nn.Module, t5: nn.Module) -> None:
        super().__init__()
        self.clip, self.t5 = clip, t5

    def forward(self, ids: Tensor, ids_2: Tensor) -> tuple[Tensor, Tensor]:
        """ids: (B, CLIP's tokens), ids_2: (B, T5's tokens) int64 -> text (B, T5's tokens, D), pooled (B, P)."""
        return self.t5(ids_2).last_hidden_state, self.clip(ids).pooler_output


class Prompt(nn.Module):
    """Passes the features on."""

    def forward(self, text: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """text: (B, tokens, D); pooled: (B, P)."""
        return text, pooled


class Denoiser(nn.Module):
    """m = z - x_0 of u, packed to patches and back; tau is 1000 times the noise level."""

    text_ids: Tensor
    image_ids: Tensor

    def __init__(self, transformer: nn.Module, tokens: int, latent: tuple[int, int, int]) -> None:
        super().__init__()
        self.transformer = transformer
        rows, columns = latent[1] // PATCH, latent[2] // PATCH
        grid = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        ids = torch.stack([torch.zeros_like(grid[0]), *grid], dim=-1).reshape(rows * columns, 3)
        self.register_buffer("image_ids", ids, persistent=False)
        self.register_buffer("text_ids", torch.zeros(tokens, 3, dtype=torch.int64), persistent=False)

    def forward(self, u: Tensor, tau: Tensor, text: Tensor, pooled: Tensor) -> Tensor:
        m: Tensor = self.transformer(
            pack(u),
            encoder_hidden_states=text,
            pooled_projections=pooled,
            timestep=tau / TRAINING_TIMES,  # which the network multiplies by 1000 again, in its own dtype
            img_ids=self.image_ids,
            txt_ids=self.text_ids,
            return_dict=False,
        )[0]
        return unpack(m, u.shape[2], u.shape[3])


def pack(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H/2 * W/2, 4C): a token is a 2 x 2 patch, channels first."""
    B, C, H, W = x.shape
    patches = x.reshape(B, C, H // PATCH, PATCH, W // PATCH, PATCH)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(B, (H // PATCH) * (W // PATCH), C * PATCH**2)


def unpack(tokens: Tensor, H: int, W: int) -> Tensor:
    """The inverse of pack."""
    B, _, D = tokens.shape
    patches = tokens.reshape(B, H // PATCH, W // PATCH, D // PATCH**2, PATCH, PATCH)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(B, D // PATCH**2, H, W)


def prompt(networks: Networks, size: Size) -> nn.Module:
    return TextPrompt(networks[CLIP], networks[T5]) if T5 in networks else Prompt()


def denoiser(networks: Networks, size: Size) -> nn.Module:
    return Denoiser(networks["transformer"], text_tokens(size), size.latent)


def text_tokens(size: Size) -> int:
    (tokens,) = (spec.shape[0] for spec in size.inputs if spec.name in ("text", "ids_2"))
    return tokens


def measure(networks: Mapping[str, Network], image: tuple[int, int] | None) -> Size:
    """At 1024 pixels, unless another size is asked for."""
    transformer, vae = networks["transformer"], networks["vae"]
    channels, H, W = latent_shape(transformer, vae, image or NATIVE, PATCH)
    latent = (channels // PATCH**2, H, W)
    if T5 not in networks:
        features = (
            Input("text", (T5_TOKENS, transformer.setting("joint_attention_dim")), torch.bfloat16),
            Input("pooled", (transformer.setting("pooled_projection_dim"),), torch.bfloat16),
        )
        return Size(networks, features, latent, image_shape(vae, latent))
    tokens = networks[CLIP].setting("max_position_embeddings")
    return Size(
        networks,
        (
            Input("ids", (tokens,), torch.int64, networks[CLIP].setting("vocab_size")),
            Input("ids_2", (T5_TOKENS,), torch.int64, networks[T5].setting("vocab_size")),
        ),
        latent,
        image_shape(vae, latent),
        (Text("tokenizer", "ids", tokens), Text("tokenizer_2", "ids_2", T5_TOKENS)),
    )


VAE_TINY, _ = autoencoder_kl(
    4, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False
)
_, VAE_FULL = autoencoder_kl(
    16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False
)
TINY = Size(
    {
        "transformer": Network(
            "diffusers",
            "FluxTransformer2DModel",
            {
                "in_channels": 16,
                "num_layers": 1,
                "num_single_layers": 1,
                "attention_head_dim": 32,
                "num_attention_heads": 2,
                "joint_attention_dim": 24,
                "pooled_projection_dim": 16,
                "axes_dims_rope": (8, 12, 12),
            },
        ),
        "vae": VAE_TINY,
    },
    (Input("text", (5, 24), torch.float32), Input("pooled", (16,), torch.float32)),
    latent=(4, 8, 8),
    image=(16, 16),
)
FULL = measure(
    {
        "transformer": Network("diffusers", "FluxTransformer2DModel", {"guidance_embeds": False}),
        "vae": VAE_FULL,
    },
    None,
)
CONTRACT = Contract("flow-euler", 4, {N: {} for N in (1, 2, 3, 4)})
PUBLISHED = Published(
    ("FluxPipeline",),
    {
        CLIP: ("CLIPTextModel",),
        T5: ("T5EncoderModel",),
        "transformer": ("FluxTransformer2DModel",),
        "vae": AUTOENCODERS,
    },
    measure,
    options=linear_sigmas,
)
FAMILY = Family(
    "flux-schnell", TINY, FULL, CONTRACT, prompt, denoiser, latent_decoder, latent_encoder, torch.bfloat16, PUBLISHED
)

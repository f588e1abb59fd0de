"""Z-Image-Turbo: one stream of image and text tokens (arXiv:2511.22699), distilled to eight steps. Text from Qwen3.

The network counts time and velocity towards the data: its time is 1 - s, and its output x_0 - z. It takes as many
text tokens as a prompt has; here the text is as long for every prompt, and attention passes over what is left. So
what diffusers' forward does between the blocks is done here.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Input
from fewstep.export.families.autoencoders import AUTOENCODERS, image_shape, latent_decoder, latent_encoder, latent_shape
from fewstep.export.families.family import Contract, Family, Network, Networks, Published, Size, Text, linear_sigmas
from fewstep.export.families.flux_schnell import VAE_FULL, VAE_TINY
from fewstep.export.families.z_image_blocks import Rotations, block

TOKENS = 512
TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
NATIVE = (1024, 1024)
PATCH = 2
KIND = f"{PATCH}-1"  # of the embedding and the last layer: patches in space, none in time
MULTIPLE = 32  # of the tokens of a stream, filled up with a learned token
TRAINING_TIMES = 1000


class Prompt(nn.Module):
    """The next to last hidden states, and how many of them count."""

    def __init__(self, text_encoder: nn.Module) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """ids, mask: (B, tokens) int64, the prompt first -> text (B, tokens, D), lengths (B,)."""
        hidden = self.text_encoder(input_ids=ids, attention_mask=mask.bool(), output_hidden_states=True).hidden_states
        return hidden[-2], mask.sum(dim=1)


class Denoiser(nn.Module):
    """m = z - x_0 of u; tau is 1000 times the noise level."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer
        self.rotations = Rotations(transformer.rope_embedder)

    def forward(self, u: Tensor, tau: Tensor, text: Tensor, lengths: Tensor) -> Tensor:
        net: Any = self.transformer
        time = net.t_embedder((TRAINING_TIMES - tau) / TRAINING_TIMES * net.t_scale).type_as(u)
        filled = (lengths + MULTIPLE - 1) // MULTIPLE * MULTIPLE
        words, counted, word_places = self.words(text, lengths, filled)
        patches, places = self.patches(u, filled)
        for layer in net.noise_refiner:
            patches = block(layer, patches, None, places, time)
        for layer in net.context_refiner:
            words = block(layer, words, counted, word_places)
        x, places = torch.cat([patches, words], dim=1), torch.cat([places, word_places], dim=1)
        seen = torch.cat([counted.new_ones(patches.shape[:2]), counted], dim=1)
        for layer in net.layers:
            x = block(layer, x, seen, places, time)
        out: Tensor = net.all_final_layer[KIND](x, c=time)
        return -unpatch(out, u.shape[2], u.shape[3])

    def words(self, text: Tensor, lengths: Tensor, filled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The text's tokens, which of them count, and their rotations: they lie at 1, 2, ... of the first axis."""
        net: Any = self.transformer
        place = torch.arange(text.shape[1], device=text.device)
        words = torch.where((place < lengths[:, None])[..., None], net.cap_embedder(text), net.cap_pad_token)
        at = torch.stack([place + 1, place * 0, place * 0], dim=1)
        return words, place < filled[:, None], self.rotations(at).expand(text.shape[0], -1, -1, -1)

    def patches(self, u: Tensor, filled: Tensor) -> tuple[Tensor, Tensor]:
        """The image's tokens and their rotations: behind the text on the first axis, then row and column."""
        net: Any = self.transformer
        B, _, H, W = u.shape
        x = net.all_x_embedder[KIND](patch(u))
        rows, columns = H // PATCH, W // PATCH
        place = torch.arange(rows * columns, device=u.device)
        at = torch.stack([place * 0, place // columns, place % columns], dim=1) + nn.functional.pad(
            filled[:, None, None] + 1, (0, 2)
        )
        left = -len(place) % MULTIPLE
        x = torch.cat([x, net.x_pad_token.expand(B, left, -1)], dim=1)
        at = nn.functional.pad(at, (0, 0, 0, left))
        return x, self.rotations(at)


def patch(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H/2 * W/2, 4C): a token is a 2 x 2 patch, channels last."""
    B, C, H, W = x.shape
    grid = x.reshape(B, C, H // PATCH, PATCH, W // PATCH, PATCH).permute(0, 2, 4, 3, 5, 1)
    return grid.reshape(B, (H // PATCH) * (W // PATCH), PATCH**2 * C)


def unpatch(tokens: Tensor, H: int, W: int) -> Tensor:
    """The inverse of patch, of the first tokens."""
    rows, columns = H // PATCH, W // PATCH
    grid = tokens[:, : rows * columns].unflatten(2, (PATCH, PATCH, -1)).unflatten(1, (rows, columns))
    x: Tensor = grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
    return x


def prompt(networks: Networks, size: Size) -> nn.Module:
    return Prompt(networks["text_encoder"])


def denoiser(networks: Networks, size: Size) -> nn.Module:
    return Denoiser(networks["transformer"])


def measure(networks: Mapping[str, Network], image: tuple[int, int] | None) -> Size:
    """At 1024 pixels, unless another size is asked for."""
    latent = latent_shape(networks["transformer"], networks["vae"], image or NATIVE, PATCH)
    vocabulary = networks["text_encoder"].setting("vocab_size")
    return Size(
        networks,
        (Input("ids", (TOKENS,), torch.int64, vocabulary), Input("mask", (TOKENS,), torch.int64, 2)),
        latent,
        image_shape(networks["vae"], latent),
        (Text("tokenizer", "ids", TOKENS, mask="mask", template=TEMPLATE),),
    )


QWEN3_TINY = {
    "vocab_size": 99,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}
QWEN3_4B = {
    "vocab_size": 151936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40960,
    "rope_theta": 1000000.0,
}
TRANSFORMER_TINY = {
    "in_channels": 4,
    "dim": 16,
    "n_layers": 1,
    "n_refiner_layers": 1,
    "n_heads": 1,
    "n_kv_heads": 1,
    "cap_feat_dim": 16,
    "axes_dims": (8, 4, 4),
    "axes_lens": (1024, 32, 32),
}


def networks(qwen3: Mapping[str, object], transformer: Mapping[str, object], vae: Network) -> dict[str, Network]:
    return {
        "text_encoder": Network("transformers", "Qwen3Model", qwen3),
        "transformer": Network("diffusers", "ZImageTransformer2DModel", transformer),
        "vae": vae,
    }


TINY = measure(networks(QWEN3_TINY, TRANSFORMER_TINY, VAE_TINY), (16, 16))
FULL = measure(networks(QWEN3_4B, {"axes_lens": (1536, 512, 512)}, VAE_FULL), None)
CONTRACT = Contract("flow-euler", 8, {8: {"shift": 3.0}})
PUBLISHED = Published(
    ("ZImagePipeline",),
    {"text_encoder": ("Qwen3Model",), "transformer": ("ZImageTransformer2DModel",), "vae": AUTOENCODERS},
    measure,
    options=linear_sigmas,
)
FAMILY = Family(
    "z-image-turbo", TINY, FULL, CONTRACT, prompt, denoiser, latent_decoder, latent_encoder, torch.bfloat16, PUBLISHED
)

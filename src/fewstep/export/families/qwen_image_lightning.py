"""Qwen-Image with the Lightning LoRAs merged: two streams as in FLUX (arXiv:2508.02324), distilled to 8 or to 4 steps.

The text is that of Qwen2.5-VL's language model, of which only that is kept. The instruction before a prompt is seen by
it, but its tokens go no further.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Input
from fewstep.engine.checks import refuse
from fewstep.export.families.autoencoders import image_shape, latent_shape
from fewstep.export.families.family import Config, Contract, Family, Network, Networks, Published, Size, Text
from fewstep.export.families.flux_schnell import PATCH, TRAINING_TIMES, pack, unpack
from fewstep.export.families.qwen_image_blocks import block

INSTRUCTION = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n"
)
TEMPLATE = INSTRUCTION + "{}<|im_end|>\n<|im_start|>assistant\n"
INSTRUCTION_TOKENS = 34  # QwenImagePipeline.prompt_template_encode_start_idx
TOKENS = 512
NATIVE = (1024, 1024)
OTHERS = ("guidance_embeds", "zero_cond_t", "use_additional_t_cond", "use_layer3d_rope")  # of those that edit and layer


class Prompt(nn.Module):
    """The last hidden states behind the instruction, and which of them count."""

    def __init__(self, language_model: nn.Module) -> None:
        super().__init__()
        self.language_model = language_model

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """ids, mask: (B, 34 + tokens) int64, the prompt first -> text (B, tokens, D), mask (B, tokens)."""
        hidden = self.language_model(input_ids=ids, attention_mask=mask).last_hidden_state
        return hidden[:, INSTRUCTION_TOKENS:], mask[:, INSTRUCTION_TOKENS:]


class Denoiser(nn.Module):
    """m = z - x_0 of u, packed to patches and back; tau is 1000 times the noise level."""

    def __init__(self, transformer: Any, latent: tuple[int, int, int]) -> None:
        super().__init__()
        self.transformer = transformer
        rope, grid = transformer.pos_embed, (1, latent[1] // PATCH, latent[2] // PATCH)
        image, text = rope([[grid]], device=rope.pos_freqs.device, max_txt_seq_len=TOKENS)
        self.turns = (torch.view_as_real(image)[None], torch.view_as_real(text)[None])  # float32 in any precision

    def forward(self, u: Tensor, tau: Tensor, text: Tensor, counted: Tensor) -> Tensor:
        net: Any = self.transformer
        x, words = net.img_in(pack(u)), net.txt_in(net.txt_norm(text))
        time = net.time_text_embed((tau / TRAINING_TIMES).to(x.dtype), x)
        seen = torch.cat([counted.bool(), counted.new_ones(x.shape[:2], dtype=torch.bool)], dim=1)
        turns, word_turns = (table.to(u.device) for table in self.turns)
        for layer in net.transformer_blocks:
            x, words = block(layer, x, words, seen, time, turns, word_turns)
        return unpack(net.proj_out(net.norm_out(x, time)), u.shape[2], u.shape[3])


class Coder(nn.Module):
    """An autoencoder with the mean and the deviation of each channel of its latents."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        for name, values in (("mean", vae.config.latents_mean), ("deviation", vae.config.latents_std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)


class Decoder(Coder):
    """x times the deviation of each channel, and its mean, through the decoder of a video of one picture."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, h, w) float32 -> (B, 3, H, W) in the network's dtype."""
        vae: Any = self.vae
        z = (x * self.deviation + self.mean).to(vae.dtype)
        pixels: Tensor = vae.decode(z[:, :, None], return_dict=False)[0]
        return pixels[:, :, 0]


class Encoder(Coder):
    """The encoder of a video of one picture, with the decoder's scaling undone: mean and deviation of x_0."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """pixels: (B, 3, H, W) -> twice (B, C, h, w) float32."""
        vae: Any = self.vae
        found = vae.encode(pixels[:, :, None].to(vae.dtype)).latent_dist
        mean, std = found.mean[:, :, 0].float(), found.std[:, :, 0].float()
        return (mean - self.mean) / self.deviation, std / self.deviation


def prompt(networks: Networks, size: Size) -> nn.Module:
    text_encoder: Any = networks["text_encoder"]
    return Prompt(text_encoder.model.language_model)


def denoiser(networks: Networks, size: Size) -> nn.Module:
    return Denoiser(networks["transformer"], size.latent)


def decoder(networks: Networks, size: Size) -> nn.Module:
    return Decoder(networks["vae"])


def encoder(networks: Networks, size: Size) -> nn.Module:
    return Encoder(networks["vae"])


def measure(networks: Mapping[str, Network], image: tuple[int, int] | None) -> Size:
    """At 1024 pixels, unless another size is asked for. Raises InputError for the networks of Qwen-Image's siblings."""
    for key in OTHERS:
        if networks["transformer"].setting(key):
            raise refuse(f"transformer: {key}", "false, as Qwen-Image has", networks["transformer"].setting(key))
    channels, H, W = latent_shape(networks["transformer"], networks["vae"], image or NATIVE, PATCH)
    latent = (channels // PATCH**2, H, W)
    config = networks["text_encoder"].config
    vocabulary, tokens = config.get("text_config", config)["vocab_size"], INSTRUCTION_TOKENS + TOKENS
    return Size(
        networks,
        (Input("ids", (tokens,), torch.int64, vocabulary), Input("mask", (tokens,), torch.int64, 2)),
        latent,
        image_shape(networks["vae"], latent),
        (Text("tokenizer", "ids", tokens, mask="mask", template=TEMPLATE),),
    )


def qwen_vl(text: Config, vision: Config) -> Network:
    return Network("transformers", "Qwen2_5_VLForConditionalGeneration", {"text_config": text, "vision_config": vision})


TEXT_TINY = qwen_vl(
    {
        "vocab_size": 99,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [2, 3, 3]},
    },
    {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 1, "out_hidden_size": 32},
)
TEXT_7B = qwen_vl(
    {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "max_position_embeddings": 128000,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [16, 24, 24]},
    },
    {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584},
)
TRANSFORMER_TINY: Config = {
    "in_channels": 16,
    "out_channels": 4,
    "num_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 32,
    "axes_dims_rope": (4, 6, 6),
}
VAE_TINY: Config = {
    "base_dim": 8,
    "z_dim": 4,
    "dim_mult": [1, 2],
    "num_res_blocks": 1,
    "temperal_downsample": [False],
    "latents_mean": (-0.7, 0.3, 0.1, 0.4),
    "latents_std": (2.8, 1.4, 2.3, 2.6),
}


def networks(text: Network, transformer: Config, vae: Config) -> dict[str, Network]:
    return {
        "text_encoder": text,
        "transformer": Network("diffusers", "QwenImageTransformer2DModel", transformer),
        "vae": Network("diffusers", "AutoencoderKLQwenImage", vae),
    }


TINY = measure(networks(TEXT_TINY, TRANSFORMER_TINY, VAE_TINY), (16, 16))
FULL = measure(networks(TEXT_7B, {}, {}), None)
# Its scheduler shifts by exp(mu) with mu = ln 3 at every size.
CONTRACT = Contract("flow-euler", 4, {N: {"shift": 3.0} for N in (4, 8)})
PUBLISHED = Published(
    ("QwenImagePipeline",),
    {
        "text_encoder": ("Qwen2_5_VLForConditionalGeneration",),
        "transformer": ("QwenImageTransformer2DModel",),
        "vae": ("AutoencoderKLQwenImage",),
    },
    measure,
    by_count=True,
)
FAMILY = Family(
    "qwen-image-lightning", TINY, FULL, CONTRACT, prompt, denoiser, decoder, encoder, torch.bfloat16, PUBLISHED
)

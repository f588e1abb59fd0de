"""DiT (arXiv:2212.09748): a transformer on latents and a class, which it was trained to do without, for guidance.

No checkpoint distilled to few steps is published in diffusers' form, so the contract is that of DiT-XL/2 itself: DDIM
over linear betas at guidance 4, as DiTPipeline runs it by default. A student with the same network takes fewer steps.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Input
from fewstep.engine.checks import refuse
from fewstep.export.families.autoencoders import (
    AUTOENCODERS,
    autoencoder_kl,
    image_shape,
    latent_decoder,
    latent_encoder,
    latent_shape,
)
from fewstep.export.families.consistency_models import Prompt
from fewstep.export.families.family import Contract, Family, Network, Networks, Published, Size

CLASSES = 1000  # DiTPipeline's null class is 1000, whatever the network has
PATCH = 2


class Denoiser(nn.Module):
    """m = eps of u; tau is the training time, 0 to 999. The channels after eps are a variance that nothing reads."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, u: Tensor, tau: Tensor, labels: Tensor) -> Tensor:
        """labels: (B,) int64, CLASSES for none."""
        m: Tensor = self.transformer(u, timestep=tau, class_labels=labels, return_dict=False)[0]
        return m[:, : u.shape[1]]


def prompt(networks: Networks, size: Size) -> nn.Module:
    return Prompt()


def denoiser(networks: Networks, size: Size) -> nn.Module:
    return Denoiser(networks["transformer"])


def measure(networks: Mapping[str, Network], image: tuple[int, int] | None) -> Size:
    """The size that the transformer was trained at, which its positions are for: InputError for another."""
    transformer, vae = networks["transformer"], networks["vae"]
    classes = transformer.setting("num_embeds_ada_norm")
    if classes != CLASSES:
        raise refuse("transformer: num_embeds_ada_norm", f"{CLASSES}, and one more for none", classes)
    latent = latent_shape(transformer, vae, None)
    pixels = image_shape(vae, latent)
    if image not in (None, pixels):
        raise refuse("size", f"{pixels[0]} x {pixels[1]}, as its positions are learnt for", image)
    labels = Input("labels", (), torch.int64, CLASSES + 1, null=CLASSES)
    return Size(networks, (labels,), latent, pixels)


VAE_TINY, VAE_FULL = autoencoder_kl(4, scaling_factor=0.18215)


def sized(vae: Network, **config: object) -> Size:
    made = {"in_channels": 4, "out_channels": 8, "num_embeds_ada_norm": CLASSES, "patch_size": PATCH, **config}
    return measure({"transformer": Network("diffusers", "DiTTransformer2DModel", made), "vae": vae}, None)


TINY = sized(VAE_TINY, num_attention_heads=2, attention_head_dim=8, num_layers=1, sample_size=8)
LINEAR = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
SAMPLED = {"timestep_spacing": "leading", "set_alpha_to_one": True, **LINEAR}
CONTRACT = Contract("ddim", 50, dict.fromkeys((4, 8, 10, 20, 25, 50, 100, 250), SAMPLED), guidance=4.0)
PUBLISHED = Published(
    ("DiTPipeline",),
    {"transformer": ("DiTTransformer2DModel", "Transformer2DModel"), "vae": AUTOENCODERS},
    measure,
)


def family(name: str, sample_size: int) -> Family:
    full = sized(VAE_FULL, num_attention_heads=16, attention_head_dim=72, num_layers=28, sample_size=sample_size)
    return Family(
        name, TINY, full, CONTRACT, prompt, denoiser, latent_decoder, latent_encoder, torch.float16, PUBLISHED
    )


FAMILIES = (family("dit-xl-2-256", 32), family("dit-xl-2-512", 64))

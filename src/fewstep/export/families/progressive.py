"""Progressive distillation (arXiv:2202.00512): pixels, DDIM over a cosine of times, weights for each number of steps.

The network is that of the authors' students for CIFAR-10 (diffusion_distillation/config/cifar_distill.py of
google-research) as a UNet2DModel. Their schedule is taken at 1000 times; x_0 is clamped, and the noise told from it, as
there. Theirs predict x_0; v is the paper's other choice. Networks that predict both x_0 and eps are not described.
"""

import torch

from fewstep.export.families.consistency_models import SMALL, decoder, denoiser, encoder, measure, prompt, unet
from fewstep.export.families.family import Config, Contract, Family, Published

EMBEDDED: Config = {"resnet_time_scale_shift": "scale_shift", "flip_sin_to_cos": False, "freq_shift": 1}
NORMS: Config = {"norm_eps": 1e-6}  # flax's
TINY = unet(2, 1, **SMALL, **EMBEDDED, **NORMS)
CIFAR10 = unet(
    3,
    2,
    sample_size=32,
    layers_per_block=3,
    block_out_channels=(256, 256, 256),
    attention_head_dim=256,
    **EMBEDDED,
    **NORMS,
)
COUNTS = (1, 2, 4, 8)  # the paper goes on doubling
SAMPLED: Config = {
    "beta_schedule": "cosine_logsnr",
    "set_alpha_to_one": True,
    "clip_sample": True,
    "use_clipped_model_output": True,
}
PUBLISHED = Published(
    ("DDIMPipeline",),
    {"unet": ("UNet2DModel",)},
    measure,
    options=lambda steps: {"use_clipped_model_output": True},
    by_count=True,
)


def family(name: str, prediction_type: str) -> Family:
    contract = Contract("ddim", 4, {N: {"prediction_type": prediction_type, **SAMPLED} for N in COUNTS})
    return Family(name, TINY, CIFAR10, contract, prompt, denoiser, decoder, encoder, torch.float16, PUBLISHED)


FAMILIES = (family("progressive-cifar10", "sample"), family("progressive-cifar10-v", "v_prediction"))

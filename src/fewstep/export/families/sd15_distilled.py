"""Stable Diffusion 1.5 at 512 pixels with few-step LoRAs: SD-Turbo's modules around CLIP-L and the older UNet."""

from dataclasses import replace

import torch

from fewstep.export.families import clip_text, sd_turbo
from fewstep.export.families.family import Contract, Family, Network
from fewstep.export.families.sdxl_distilled import GUIDED

TIMES = range(1, 9)


def unet(**config: object) -> Network:
    """Full: SD 1.5's, whose attention has 8 heads whatever its width, between convolutions."""
    made = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8, **config}
    return Network("diffusers", "UNet2DConditionModel", made)


UNET_TINY = {
    "sample_size": 8,
    "layers_per_block": 1,
    "block_out_channels": (32, 64),
    "norm_num_groups": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 32,
    "attention_head_dim": 2,
}
TINY = sd_turbo.measure({**sd_turbo.TINY.networks, "unet": unet(**UNET_TINY)}, None)
FULL = sd_turbo.measure(
    {"text_encoder": clip_text.clip_text(clip_text.CLIP_L), "unet": unet(), "vae": sd_turbo.VAE_FULL}, None
)
PUBLISHED = replace(sd_turbo.PUBLISHED, is_whole=False)


def sd15(name: str, contract: Contract, by_count: bool = False) -> Family:
    published = replace(PUBLISHED, by_count=by_count)
    return replace(
        sd_turbo.FAMILY, name=name, tiny=TINY, full=FULL, contract=contract, dtype=torch.float16, published=published
    )


# The sources are those of sdxl_distilled.py.
HYPER = sd15("hyper-sd15", Contract("ddim", 4, {N: {"set_alpha_to_one": False} for N in (2, 4, 8)}), by_count=True)
HYPER_CFG = sd15(
    "hyper-sd15-cfg", Contract("ddim", 8, {N: {"set_alpha_to_one": False} for N in (8, 12)}, 7.5, GUIDED), by_count=True
)
HYPER_UNIFIED = sd15("hyper-sd15-unified", Contract("tcd", 1, {N: {"eta": 1.0} for N in TIMES}))
TCD = sd15("tcd-sd15", Contract("tcd", 4, {N: {"eta": 0.3} for N in TIMES}))
PCM = sd15("pcm-sd15", Contract("tcd", 4, {N: {"eta": 0.0} for N in (2, 4, 8, 16)}), by_count=True)
LCM_LORA = sd15("lcm-lora-sd15", Contract("lcm", 4, {N: {} for N in TIMES}))

FAMILIES = (HYPER, HYPER_CFG, HYPER_UNIFIED, TCD, PCM, LCM_LORA)

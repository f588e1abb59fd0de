"""A decoder's ends and its upsampling at the families' shapes."""

from functools import partial

import torch

from fewstep.kernels.decode import (
    scale_latent,
    scale_latent_cost,
    scale_latent_launches,
    scale_latent_ref,
    to_uint8,
    to_uint8_cost,
    to_uint8_launches,
    to_uint8_ref,
)
from fewstep.kernels.upsample import upsample2x, upsample2x_cost, upsample2x_launches, upsample2x_ref
from fewstep.profile.case import Case, Inputs, normal

PICTURES = {512: ("sd-turbo", "sdxl-turbo"), 1024: ("sana-sprint", "flux-schnell")}
LATENTS = {(4, 64): ("sd-turbo", "sdxl-turbo"), (16, 128): ("flux-schnell", "sd3.5-turbo")}  # (C, side)
UPSAMPLED = {  # (C, side) of x
    (1280, 8): ("sd-turbo",),
    (640, 32): ("sd-turbo", "sdxl-turbo"),
    (512, 128): ("sd-vae",),
    (256, 256): ("sd-vae",),
    (64, 256): ("taesd",),
}
SCALING, SHIFT = 0.3611, 0.1159  # of FLUX's latents


def make_picture(device: str, dtype: torch.dtype, seed: int, *, C: int, side: int) -> Inputs:
    x = normal(device, dtype, seed, 1, C, side, side)
    return {"x": x.to(memory_format=torch.channels_last)}


def make_latent(device: str, dtype: torch.dtype, seed: int, *, C: int, side: int) -> Inputs:
    x = normal(device, torch.float32, seed, 1, C, side, side)
    return {"x": x, "scale": 1 / SCALING, "shift": SHIFT, "dtype": dtype}


CASES = [
    *(
        Case(
            "to_uint8",
            f"1x3x{side}x{side}",
            families,
            partial(make_picture, C=3, side=side),
            to_uint8,
            to_uint8_ref,
            to_uint8_launches,
            to_uint8_cost,
        )
        for side, families in PICTURES.items()
    ),
    *(
        Case(
            "scale_latent",
            f"1x{C}x{side}x{side}",
            families,
            partial(make_latent, C=C, side=side),
            scale_latent,
            scale_latent_ref,
            scale_latent_launches,
            scale_latent_cost,
        )
        for (C, side), families in LATENTS.items()
    ),
    *(
        Case(
            "upsample2x",
            f"1x{C}x{side}x{side}",
            families,
            partial(make_picture, C=C, side=side),
            upsample2x,
            upsample2x_ref,
            upsample2x_launches,
            upsample2x_cost,
        )
        for (C, side), families in UPSAMPLED.items()
    ),
]

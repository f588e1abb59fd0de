"""Convolutions at the families' shapes: alone, with their neighbours, normalised on load, upsampled, depthwise."""

from functools import partial

import torch
from torch import Tensor

from fewstep.kernels.conv2d import arrange_weight, conv2d, conv2d_cost, conv2d_launches, conv2d_ref
from fewstep.kernels.conv2d_launch import Norm
from fewstep.kernels.cost import Cost
from fewstep.kernels.depthwise_conv2d import (
    depthwise_conv2d,
    depthwise_conv2d_cost,
    depthwise_conv2d_launches,
    depthwise_conv2d_ref,
)
from fewstep.kernels.group_norm_stats import group_norm_stats, group_norm_stats_launches
from fewstep.kernels.launch import Launch
from fewstep.kernels.tuned import Config
from fewstep.kernels.upsample_conv2d import (
    fold_weight,
    upsample_conv2d,
    upsample_conv2d_cost,
    upsample_conv2d_launches,
    upsample_conv2d_ref,
)
from fewstep.profile.case import Case, Inputs, normal

SHAPES = {  # (C, C_out, side of x, K, stride, activation, what is added): families
    (4, 320, 64, 3, 1, None, ()): ("sd-turbo", "lcm-dreamshaper", "sdxl-turbo 512"),
    (320, 320, 64, 3, 1, None, ("embedding",)): ("sd-turbo", "lcm-dreamshaper", "sdxl-turbo 512"),
    (320, 320, 64, 3, 2, None, ()): ("sd-turbo", "lcm-dreamshaper", "sdxl-turbo 512"),
    (320, 4, 64, 3, 1, None, ()): ("sd-turbo", "lcm-dreamshaper", "sdxl-turbo 512"),
    (1920, 640, 32, 3, 1, None, ("embedding",)): ("sd-turbo", "sdxl-turbo 512"),
    (1280, 1280, 16, 3, 1, None, ("residual",)): ("sd-turbo", "sdxl-turbo 512"),
    (2560, 1280, 8, 3, 1, None, ("embedding",)): ("sd-turbo", "lcm-dreamshaper"),
    (1280, 1280, 32, 3, 1, None, ("residual",)): ("sdxl-turbo",),
    (192, 192, 64, 3, 1, None, ("residual",)): ("cd_imagenet64",),
    (512, 512, 128, 3, 1, None, ("residual",)): ("sd-vae",),
    (128, 128, 512, 3, 1, None, ("residual",)): ("sd-vae",),
    (64, 64, 256, 3, 1, "relu", ("residual",)): ("taesd",),
    (1152, 5760, 32, 1, 1, "silu", ()): ("sana-sprint 0.6B",),
}
NORMED = {  # (C, C_out, side): families
    (1280, 1280, 8): ("sd-turbo", "lcm-dreamshaper"),
    (768, 768, 8): ("cd_imagenet64",),
    (128, 3, 512): ("sd-vae",),
}
UPSAMPLED = {  # (C, C_out, side of x): families
    (1280, 1280, 16): ("sd-turbo", "lcm-dreamshaper"),
    (512, 512, 128): ("sd-vae",),
    (64, 64, 128): ("taesd",),
}
DEPTHWISE = {  # (C, side): families
    (5760, 32): ("sana-sprint 0.6B",),
    (11200, 32): ("sana-sprint 1.6B",),
}
GROUPS = 32


def picture(device: str, dtype: torch.dtype, seed: int, C: int, side: int) -> Tensor:
    return normal(device, dtype, seed, 1, side, side, C).permute(0, 3, 1, 2)


def kernel_weight(device: str, dtype: torch.dtype, seed: int, C_out: int, C: int, K: int) -> Tensor:
    weight = arrange_weight(normal(device, dtype, seed, C_out, C, K, K, mean=0.01))
    return weight if device == "meta" else weight * (C * K * K) ** -0.5


def make(device: str, dtype: torch.dtype, seed: int, *, C: int, C_out: int, side: int, K: int, stride: int,
         added: tuple[str, ...], activation: str | None) -> Inputs:  # fmt: skip
    neighbours = {
        "embedding": lambda: normal(device, dtype, seed + 3, 1, C_out),
        "residual": lambda: picture(device, dtype, seed + 3, C_out, side // stride),
    }
    return {
        "x": picture(device, dtype, seed, C, side),
        "weight": kernel_weight(device, dtype, seed + 1, C_out, C, K),
        "bias": normal(device, dtype, seed + 2, C_out),
        "stride": stride,
        "padding": K // 2,
        "activation": activation,
    } | {name: neighbours[name]() for name in added}


def make_normed(device: str, dtype: torch.dtype, seed: int, *, C: int, C_out: int, side: int) -> Inputs:
    return {
        "x": picture(device, dtype, seed, C, side),
        "weight": kernel_weight(device, dtype, seed + 1, C_out, C, 3),
        "gamma": normal(device, dtype, seed + 2, C),
        "beta": normal(device, dtype, seed + 3, C),
    }


def normed(x: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return conv2d(x, weight, norm=Norm(*group_norm_stats(x, GROUPS), gamma, beta))


def normed_ref(x: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    f = torch.nn.functional
    return f.conv2d(f.silu(f.group_norm(x, GROUPS, gamma, beta)), weight, padding=1)


def normed_launches(x: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, *, arch: int | None = None,
                    config: Config | None = None) -> tuple[Tensor, list[Launch]]:  # fmt: skip
    moments, first = group_norm_stats_launches(x, GROUPS, arch=arch)
    y, second = conv2d_launches(x, weight, norm=Norm(*moments, gamma, beta), arch=arch, config=config)
    return y, [*first, *second]


def normed_cost(x: Tensor, weight: Tensor, **_: Tensor) -> Cost:
    return conv2d_cost(x, weight)


def make_upsampled(device: str, dtype: torch.dtype, seed: int, *, C: int, C_out: int, side: int) -> Inputs:
    weight = kernel_weight(device, dtype, seed + 1, C_out, C, 3)
    folded = torch.empty(4 * C_out, C, 2, 2, dtype=dtype, device=device) if device == "meta" else fold_weight(weight)
    return {
        "x": picture(device, dtype, seed, C, side),
        "weight": weight,
        "folded": arrange_weight(folded),
        "bias": normal(device, dtype, seed + 2, C_out),
    }


def upsampled(x: Tensor, weight: Tensor, folded: Tensor, bias: Tensor) -> Tensor:
    return upsample_conv2d(x, folded, bias)


def upsampled_ref(x: Tensor, weight: Tensor, folded: Tensor, bias: Tensor) -> Tensor:
    return upsample_conv2d_ref(x, weight, bias)


def upsampled_launches(x: Tensor, weight: Tensor, folded: Tensor, bias: Tensor, *, arch: int | None = None,
                       config: Config | None = None) -> tuple[Tensor, list[Launch]]:  # fmt: skip
    return upsample_conv2d_launches(x, folded, bias, arch=arch, config=config)


def upsampled_cost(x: Tensor, weight: Tensor, folded: Tensor, bias: Tensor) -> Cost:
    return upsample_conv2d_cost(x, folded, bias)


def make_depthwise(device: str, dtype: torch.dtype, seed: int, *, C: int, side: int) -> Inputs:
    return {
        "x": picture(device, dtype, seed, C, side),
        "weight": normal(device, dtype, seed + 1, 3, 3, C, mean=0.1),
        "bias": normal(device, dtype, seed + 2, C),
        "gated": True,
    }


CASES = [
    Case(
        "conv2d",
        " ".join([f"{C}->{C_out} {K}x{K}/{stride} @{side}", *filter(None, (activation,)), *added]),
        families,
        partial(make, C=C, C_out=C_out, side=side, K=K, stride=stride, added=added, activation=activation),
        conv2d,
        conv2d_ref,
        conv2d_launches,
        conv2d_cost,
    )
    for (C, C_out, side, K, stride, activation, added), families in SHAPES.items()
]
CASES += [
    Case(
        "conv2d",
        f"group_norm + silu + {C}->{C_out} 3x3/1 @{side}",
        families,
        partial(make_normed, C=C, C_out=C_out, side=side),
        normed,
        normed_ref,
        normed_launches,
        normed_cost,
    )
    for (C, C_out, side), families in NORMED.items()
]
CASES += [
    Case(
        "upsample_conv2d",
        f"{C}->{C_out} @{side}",
        families,
        partial(make_upsampled, C=C, C_out=C_out, side=side),
        upsampled,
        upsampled_ref,
        upsampled_launches,
        upsampled_cost,
    )
    for (C, C_out, side), families in UPSAMPLED.items()
]
CASES += [
    Case(
        "depthwise_conv2d",
        f"{C} @{side} gated",
        families,
        partial(make_depthwise, C=C, side=side),
        depthwise_conv2d,
        depthwise_conv2d_ref,
        depthwise_conv2d_launches,
        depthwise_conv2d_cost,
    )
    for (C, side), families in DEPTHWISE.items()
]

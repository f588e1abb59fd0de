"""TrigFlow arithmetic in PyTorch for training: images x are (B, 3, H, W), times t are (B,)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from fewstep.export.families.trigflow_unet import TrigFlowUNet


def per_image(t: Tensor) -> Tensor:
    return t[:, None, None, None]


def denoise(x_t: Tensor, t: Tensor, F: Tensor, sigma_data: float) -> Tensor:
    """The consistency function f = cos(t) x_t - sin(t) sigma_data F."""
    return per_image(t.cos()) * x_t - per_image(t.sin()) * sigma_data * F


def ddim(x_t: Tensor, t: Tensor, s: Tensor, F: Tensor, sigma_data: float) -> Tensor:
    """One deterministic step from t to s along the probability-flow ODE."""
    return denoise(x_t, t - s, F, sigma_data)


def guided(net: TrigFlowUNet, x_t: Tensor, t: Tensor, labels: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance: F_null + scale (F - F_null), both in one batch."""
    u = x_t / net.config.sigma_data
    if scale == 1:
        F: Tensor = net(u, t, labels)
        return F
    null = net.null_labels.expand_as(labels)
    F, F_null = net(torch.cat([u, u]), torch.cat([t, t]), torch.cat([labels, null])).chunk(2)
    mixed: Tensor = F_null + scale * (F - F_null)
    return mixed


@torch.no_grad()
def sample_ode(net: TrigFlowUNet, z: Tensor, labels: Tensor, times: Sequence[float], scale: float) -> Tensor:
    """Guided DDIM over times t_0 = pi/2 > ... > t_N = 0 from unit noise z."""
    x = z * net.config.sigma_data
    for t, s in pairwise(times):
        ts = torch.full((2, len(x)), t)
        ts[1] = s
        x = ddim(x, ts[0], ts[1], guided(net, x, ts[0], labels, scale), net.config.sigma_data)
    return x


@torch.no_grad()
def sample_consistency(
    net: TrigFlowUNet, z: Tensor, labels: Tensor, times: Sequence[float], generator: torch.Generator
) -> Tensor:
    """Denoise at each of `times` (t_0 = pi/2), adding fresh noise in between, from unit noise z."""
    sd = net.config.sigma_data
    x = z * sd
    for i, t in enumerate(times):
        tt = torch.full((len(x),), t)
        x_0 = denoise(x, tt, net(x / sd, tt, labels), sd)
        if i + 1 < len(times):
            s = torch.full((len(x),), times[i + 1])
            noise = torch.randn(x.shape, generator=generator).to(memory_format=torch.channels_last)
            x = per_image(s.cos()) * x_0 + per_image(s.sin()) * sd * noise
    return x_0

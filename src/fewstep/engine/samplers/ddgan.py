"""Denoising diffusion GANs (arXiv:2112.07804): the DDPM posterior over a few large steps, x_0 from a generator."""

import numpy as np

from fewstep.engine.checks import real
from fewstep.engine.levels import vp
from fewstep.engine.prediction import vp_estimate
from fewstep.engine.samplers.ddim import posterior_std
from fewstep.engine.step import assemble, transition
from fewstep.engine.table import Schedule
from fewstep.engine.times import step_count


def ddgan(steps: int, *, beta_min: float = 0.1, beta_max: float = 20.0) -> Schedule:
    """NVlabs/denoising-diffusion-gan test_ddgan.py: m = x_0, tau = N - 1, ..., 0; always draws, at last times 0.

    The network's own latent is an input of its own, drawn by the caller before each call. The products of 1 - beta
    start at 1 although the first time is 1e-3, as there.
    """
    N = step_count(steps, 1000, "a few-step sampler")
    low = real("beta_min", beta_min, 0, above=True)
    high = real("beta_max", beta_max, low)
    t = np.linspace(0, 1, N + 1) * (1 - 1e-3) + 1e-3
    abar = np.exp(-(t**2) * (high - low) / 2 - t * low)
    at = (abar[1:] / abar[0])[::-1]
    at_to = np.append(at[1:], 1.0)
    now = vp(at)
    step = transition(vp_estimate("sample", now), now, vp(at_to), posterior_std(at, at_to))
    return assemble("ddgan", np.arange(N - 1, -1, -1.0), now, step, draws=True)

"""Signal and noise levels: beta schedules of discrete diffusion, and the families VP, VE, flow and trigonometric."""

import functools
import math
from typing import Any, TypedDict

import numpy as np

from fewstep.engine.checks import Array, choice, flag, numbers, real, refuse, whole
from fewstep.engine.step import Levels

BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2", "cosine_logsnr")
MAX_LOGSNR = 20.0  # and its negative, at the ends of cosine_logsnr


class TrainingOptions(TypedDict, total=False):
    """How a discrete-time model was trained. Defaults: Stable Diffusion's betas, scaled_linear 0.00085 to 0.012.

    alphas_cumprod: the levels themselves, instead of all the rest; 0 is allowed at the end (zero terminal SNR).
    """

    num_train_timesteps: int
    beta_start: float
    beta_end: float
    beta_schedule: str
    trained_betas: Any
    rescale_betas_zero_snr: bool
    alphas_cumprod: Any


def alphas_cumprod(
    *,
    num_train_timesteps: int = 1000,
    beta_start: float = 0.00085,
    beta_end: float = 0.012,
    beta_schedule: str = "scaled_linear",
    trained_betas: Any = None,
    rescale_betas_zero_snr: bool = False,
    alphas_cumprod: Any = None,
) -> Array:
    """The cumulative products of 1 - beta, (T,), falling, in (0, 1), or 0 at the end with zero terminal SNR.

    diffusers computes them in float32, up to 1e-6 away from these.
    """
    if alphas_cumprod is not None:
        abar = numbers("alphas_cumprod", alphas_cumprod)
        if len(abar) < 2 or abar[0] >= 1 or abar[-1] < 0 or (np.diff(abar) > 0).any():
            raise refuse("alphas_cumprod", "falling numbers in [0, 1)", f"{len(abar)} numbers")
        return abar
    T = whole("num_train_timesteps", num_train_timesteps, 2, 10**6)
    zero_snr = flag("rescale_betas_zero_snr", rescale_betas_zero_snr)
    if trained_betas is not None:
        betas = numbers("trained_betas", trained_betas, T)
        if (betas <= 0).any() or (betas >= 1).any():
            raise refuse("trained_betas", "numbers in (0, 1)", betas.tolist())
        return _products(betas, zero_snr)
    kind = choice("beta_schedule", beta_schedule, BETA_SCHEDULES)
    start, end = (real("beta_start", beta_start, 0, 1, above=True), real("beta_end", beta_end, 0, 1, above=True))
    if not start <= end < 1:
        raise refuse("beta_end", f"a number in [beta_start, 1) = [{start:g}, 1)", beta_end)
    return scheduled_products(T, start, end, kind, zero_snr)


@functools.lru_cache(maxsize=64)
def scheduled_products(T: int, start: float, end: float, kind: str, zero_snr: bool) -> Array:
    if kind == "linear":
        return _products(np.linspace(start, end, T), zero_snr)
    if kind == "scaled_linear":
        return _products(np.linspace(math.sqrt(start), math.sqrt(end), T) ** 2, zero_snr)
    if kind == "cosine_logsnr":  # arXiv:2202.00512: log SNR = -2 log tan of an angle that rises with the time
        least = math.atan(math.exp(-MAX_LOGSNR / 2))
        angle = least + (math.pi / 2 - 2 * least) * (np.arange(T) + 1) / T
        return _zero_snr(np.cos(angle) ** 2, zero_snr)
    cosine = np.cos((np.arange(T + 1) / T + 0.008) / 1.008 * math.pi / 2) ** 2
    return _products(np.minimum(1 - cosine[1:] / cosine[:-1], 0.999), zero_snr)


def _products(betas: Array, zero_snr: bool) -> Array:
    return _zero_snr(np.cumprod(1 - betas, dtype=np.float64), zero_snr)


def _zero_snr(abar: Array, zero_snr: bool) -> Array:
    """zero_snr: algorithm 1 of arXiv:2305.08891, sqrt(abar) shifted and stretched to end at exactly 0."""
    if zero_snr:
        root = np.sqrt(abar)
        abar = ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2
    abar.flags.writeable = False
    return abar


def vp(abar: Array | float) -> Levels:
    """Variance preserving: (sqrt(abar), sqrt(1 - abar))."""
    abar = np.asarray(abar, np.float64)
    return Levels(np.sqrt(abar), np.sqrt(1 - abar))


def vp_of_sigma(sigma: Array) -> Levels:
    """The variance-preserving levels of ratio sigma: (1, sigma) / sqrt(1 + sigma^2)."""
    alpha = 1 / np.sqrt(1 + sigma**2)
    return Levels(alpha, sigma * alpha)


def ve(sigma: Array) -> Levels:
    """Variance exploding: (1, sigma)."""
    return Levels(np.ones_like(sigma), sigma)


def flow(s: Array) -> Levels:
    """Rectified flow: (1 - s, s), s = 1 noise."""
    return Levels(1 - s, s)


def trig(t: Array, sigma_data: float) -> Levels:
    """TrigFlow (arXiv:2410.11081): (cos t, sigma_data sin t), t = pi/2 noise."""
    return Levels(np.cos(t), sigma_data * np.sin(t))


def sigma_grid(abar: Array) -> Array:
    """sqrt((1 - abar) / abar), the noise of x / alpha, rising with the time.

    abar = 0 counts as 2^-24, as in diffusers: sigma = 4096.
    """
    abar = np.where(abar == 0, 2.0**-24, abar)
    ratios: Array = np.sqrt((1 - abar) / abar)
    return ratios

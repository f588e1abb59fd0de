"""The alphas_cumprod of diffusers 0.42.1: what its schedulers compute in torch.float32, without torch.

Exact float64 levels differ from these by up to 9.3e-7 relative, which is then the floor of every comparison.
linear, scaled_linear, squaredcos_cap_v2 and laplace are equal bit for bit, sigmoid and zero SNR to a few roundings.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.checks import refuse

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
BETA_SCHEDULES = ("laplace", "linear", "scaled_linear", "sigmoid", "squaredcos_cap_v2")


@functools.lru_cache(maxsize=64)
def alphas_cumprod(
    beta_schedule: str,
    beta_start: float,
    beta_end: float,
    num_train_timesteps: int,
    trained_betas: tuple[float, ...] | None = None,
    rescale_betas_zero_snr: bool = False,
) -> Float64:
    """Products of 1 - beta up to each training time: (num_train_timesteps,), float32 values in read-only float64.

    beta_schedule is one of BETA_SCHEDULES; trained_betas replaces it.
    With rescale_betas_zero_snr the last value is exactly 0 (arXiv:2305.08891, algorithm 1). Raises InputError.
    """
    T = num_train_timesteps
    if trained_betas is not None:
        betas = np.asarray(trained_betas, np.float32)
    elif beta_schedule == "linear":
        betas = _linspace(beta_start, beta_end, T)
    elif beta_schedule == "scaled_linear":
        betas = _linspace(beta_start**0.5, beta_end**0.5, T) ** 2
    elif beta_schedule == "squaredcos_cap_v2":
        betas = _betas_for_alpha_bar(_cosine_alpha_bar, T)
    elif beta_schedule == "laplace":
        betas = _betas_for_alpha_bar(_laplace_alpha_bar, T)
    elif beta_schedule == "sigmoid":
        logistic = (1 / (1 + np.exp(-_linspace(-6, 6, T).astype(np.float64)))).astype(np.float32)
        betas = logistic * np.float32(beta_end - beta_start) + np.float32(beta_start)
    else:
        raise refuse("beta_schedule", f"one of {', '.join(BETA_SCHEDULES)}", beta_schedule)
    if rescale_betas_zero_snr:
        betas = _rescale_zero_terminal_snr(betas)
    result = _cumprod(np.float32(1) - betas).astype(np.float64)
    result.flags.writeable = False
    return result


def _linspace(start: float, end: float, count: int) -> Float32:
    """torch.linspace counts from the nearer end with a fused multiply-add, which rounds once, as float64 does here."""
    first, last = np.float32(start), np.float32(end)
    if count == 1:
        return np.array([first], np.float32)
    step = np.float64((last - first) / np.float32(count - 1))
    i = np.arange(count)
    rising = np.float64(first) + step * i
    falling = np.float64(last) - step * (count - 1 - i)
    return np.where(i < count // 2, rising, falling).astype(np.float32)


def _cumprod(alphas: Float32) -> Float32:
    """torch.cumprod accumulates float32 in float64 on a CPU."""
    return np.cumprod(alphas, dtype=np.float64).astype(np.float32)


def _betas_for_alpha_bar(alpha_bar: Callable[[float], float], count: int, max_beta: float = 0.999) -> Float32:
    ratios = (alpha_bar((i + 1) / count) / alpha_bar(i / count) for i in range(count))
    return np.array([min(1 - ratio, max_beta) for ratio in ratios], np.float32)


def _cosine_alpha_bar(t: float) -> float:
    return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2


def _laplace_alpha_bar(t: float) -> float:
    snr = math.exp(-0.5 * math.copysign(1, 0.5 - t) * math.log(1 - 2 * abs(0.5 - t) + 1e-6))
    return math.sqrt(snr / (1 + snr))


def _rescale_zero_terminal_snr(betas: Float32) -> Float32:
    root = np.sqrt(_cumprod(np.float32(1) - betas))
    first, last = root[0], root[-1]
    root = (root - last) * (first / (first - last))
    alphas_bar = root**2
    alphas = np.concatenate([alphas_bar[:1], alphas_bar[1:] / alphas_bar[:-1]])
    return (np.float32(1) - alphas).astype(np.float32)

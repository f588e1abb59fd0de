"""Grids of times and of noise levels."""

import math

import numpy as np

from fewstep.engine.checks import Array, choice, descending, refuse, whole

SPACINGS = ("leading", "linspace", "trailing")


def step_count(steps: object, most: int, why: str) -> int:
    """steps as an int of 1..most; `why` says where the limit comes from."""
    return whole(f"steps (at most {most}: {why})", steps, 1, most)


def spaced(spacing: str, N: int, T: int, steps_offset: int = 0) -> Array:
    """N training times of 0..T-1, falling, not rounded for linspace (arXiv:2305.08891, table 2).

    trailing: T, T - T/N, ... rounded, minus 1. leading: multiples of T // N plus the offset. linspace: both ends.
    """
    kind = choice("timestep_spacing", spacing, SPACINGS)
    offset = whole("steps_offset", steps_offset, 0, T)
    if kind == "trailing":
        # arange as in diffusers: its rounding decides the ties, and for some N it has one element too many
        return np.round(np.arange(T, 0, -T / N)[:N]) - 1
    if kind == "linspace":
        return np.linspace(0, T - 1, N)[::-1].copy()
    t = np.arange(N - 1, -1, -1.0) * (T // N) + offset
    if t[0] > T - 1:
        raise refuse("steps_offset", f"at most {T - 1 - (N - 1) * (T // N)} for {N} steps", offset)
    return t


def down_to_zero(times: object, N: int, highest: float = 1.0) -> Array:
    """N + 1 times: the N given, falling from at most `highest` and above 0, then the end at 0 that they imply."""
    t = descending("times", times, N, 0, highest)
    if t[-1] == 0:
        raise refuse("times", f"{N} times above 0, as the end at 0 is implied", times)
    return np.append(t, 0.0)


def karras(sigma_max: float, sigma_min: float, u: Array, rho: float = 7.0) -> Array:
    """Equation 5 of EDM (arXiv:2206.00364): u (N,) in [0, 1] from sigma_max to sigma_min."""
    top, bottom = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    values: Array = (top + u * (bottom - top)) ** rho
    return values


def exponential(sigma_max: float, sigma_min: float, N: int) -> Array:
    """N noise levels, evenly spaced in their logarithm."""
    return np.exp(np.linspace(math.log(sigma_max), math.log(sigma_min), N))


def time_of_sigma(sigma: Array, grid: Array) -> Array:
    """The fractional training time of each sigma (N,) by log-linear interpolation in the rising grid (T,)."""
    return np.interp(np.log(np.maximum(sigma, 1e-10)), np.log(grid), np.arange(len(grid), dtype=np.float64))


def given_or_spaced(steps: object, T: int, timesteps: object, spacing: str, steps_offset: int) -> Array:
    """N possibly fractional training times: the given ones, checked, or `spaced`."""
    N = step_count(steps, T, "the training times")
    choice("timestep_spacing", spacing, SPACINGS)
    if timesteps is not None:
        return descending("timesteps", timesteps, N, 0, T - 1)
    return spaced(spacing, N, T, steps_offset)

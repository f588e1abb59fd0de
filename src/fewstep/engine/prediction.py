"""What the network predicts, as the (p, q) of x_0 = p*x + q*m."""

import math

import numpy as np

from fewstep.engine.checks import Array, choice, flag, real
from fewstep.engine.step import Estimate, Levels
from fewstep.errors import InputError

DISCRETE = ("epsilon", "sample", "v_prediction")


def clamp_range(clip_sample: object, clip_sample_range: object) -> float:
    """The r of clamp(y, -r, r): inf where nothing is clipped."""
    r = real("clip_sample_range", clip_sample_range, 0, above=True)
    return r if flag("clip_sample", clip_sample) else math.inf


def vp_estimate(prediction_type: str, now: Levels, r: float = np.inf) -> Estimate:
    """x_0 from a variance-preserving state; the noise level may not be all of the state if m is eps."""
    kind = choice("prediction_type", prediction_type, DISCRETE)
    if kind == "sample":
        return Estimate(0.0, 1.0, r)
    if kind == "v_prediction":
        return Estimate(now.alpha, -now.sigma, r)
    if (now.alpha == 0).any():
        raise InputError(
            "prediction_type: expected v_prediction or sample where the signal level is 0 (zero terminal SNR), "
            "got 'epsilon', which says nothing about x_0 there; or start at an earlier time"
        )
    return Estimate(1 / now.alpha, -now.sigma / now.alpha, r)


def ve_estimate(prediction_type: str, sigma: Array) -> Estimate:
    """x_0 from a variance-exploding state x = x_0 + sigma eps; v is that of the VP state x / sqrt(sigma^2 + 1)."""
    kind = choice("prediction_type", prediction_type, DISCRETE)
    if kind == "sample":
        return Estimate(0.0, 1.0)
    if kind == "v_prediction":
        return Estimate(1 / (sigma**2 + 1), -sigma / np.sqrt(sigma**2 + 1))
    return Estimate(1.0, -sigma)


def flow_estimate(s: Array) -> Estimate:
    """m = z - x_0 at x = (1 - s) x_0 + s z."""
    return Estimate(1.0, -s)


def trig_estimate(t: Array, sigma_data: float) -> Estimate:
    """m = F with dx/dt = sigma_data F at x = cos(t) x_0 + sin(t) z."""
    return Estimate(np.cos(t), -sigma_data * np.sin(t))

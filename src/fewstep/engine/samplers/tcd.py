"""Trajectory consistency distillation (arXiv:2402.19159), also for Hyper-SD's unified LoRA and PCM's."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from fewstep.engine.checks import real
from fewstep.engine.levels import TrainingOptions, alphas_cumprod, vp
from fewstep.engine.prediction import vp_estimate
from fewstep.engine.samplers.lcm import distillation_times
from fewstep.engine.step import assemble, transition
from fewstep.engine.table import Schedule


def tcd(
    steps: int,
    *,
    eta: float = 0.3,
    timesteps: Sequence[int] | None = None,
    original_inference_steps: int = 50,
    prediction_type: str = "epsilon",
    **training: Unpack[TrainingOptions],
) -> Schedule:
    """TCDScheduler: deterministically down to s = (1 - eta) t', then up to t' with fresh noise.

    eta: the paper's gamma. diffusers' pipelines pass 0, whatever the scheduler's own default of 0.3. The last step
    lands at time 0, whose signal level is not 1, so the result is not x_0. Draws between steps if eta > 0.
    """
    gamma = real("eta", eta, 0, 1)
    abar = alphas_cumprod(**training)
    t = distillation_times(steps, len(abar), timesteps, original_inference_steps)
    to = np.append(t[1:], 0.0)
    # diffusers rounds (1 - eta) and the product to float32 before it floors
    s = np.floor(np.float32(1 - gamma) * to.astype(np.float32)).astype(int)
    at_s, at_to = abar[s], abar[to.astype(int)]
    now = vp(abar[t.astype(int)])
    between = np.append(np.ones(len(t) - 1), 0.0) * (gamma > 0)
    c = np.sqrt(1 - np.divide(at_to, at_s, out=np.ones_like(at_s), where=between > 0))
    step = transition(vp_estimate(prediction_type, now), now, vp(at_to), c)
    return assemble("tcd", t, now, step, draws=between > 0)

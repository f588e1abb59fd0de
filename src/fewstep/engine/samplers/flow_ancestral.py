"""Ancestral Euler on a flow: ComfyUI's sampler for rectified flows, LTX-Video's scheduler in diffusers."""

from typing import Unpack

import numpy as np

from fewstep.engine.checks import real
from fewstep.engine.levels import flow
from fewstep.engine.samplers.flow import FlowOptions, flow_grid
from fewstep.engine.step import assemble, transition
from fewstep.engine.table import Schedule


def flow_ancestral(steps: int, *, eta: float = 1.0, s_noise: float = 1.0, **options: Unpack[FlowOptions]) -> Schedule:
    """LTXEulerAncestralRFScheduler: down to s_down = s' (1 + (s'/s - 1) eta), rescaled and re-noised to s'.

    Draws at every step but the last, and nowhere if eta or s_noise is 0.
    """
    share, scale = real("eta", eta, 0, 1), real("s_noise", s_noise, 0)
    grid = flow_grid(steps, **options)
    s, to = grid.s[:-1], grid.s[1:]
    down = to * (1 + (to / s - 1) * share)
    kept = down * (1 - to) / (1 - down)
    fresh = np.sqrt(np.maximum(to**2 - kept**2, 0))
    draws = (to > 0) & (share > 0) & (scale > 0)
    # without noise the reference does not rescale either: it is left at s_down
    target = flow(np.where(draws, to, down))
    step = transition(grid.x_0, flow(s), target, np.where(draws, fresh, 0.0))
    return assemble("flow-ancestral", grid.tau[:-1], flow(s), step._replace(c=step.c * scale), draws=draws)

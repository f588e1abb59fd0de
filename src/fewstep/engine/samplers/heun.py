"""Heun's method on a flow: every step but the last calls the network twice."""

from typing import Unpack

import numpy as np

from fewstep.engine.levels import flow
from fewstep.engine.samplers.flow import FlowOptions, flow_grid
from fewstep.engine.step import Coefficients, assemble
from fewstep.engine.table import Schedule


def flow_heun(steps: int, **options: Unpack[FlowOptions]) -> Schedule:
    """FlowMatchHeunDiscreteScheduler: N steps are 2N - 1 rows; the levels default to timestep_spacing="linspace".

    Row 2i predicts with m at s and keeps it as the history h = m; row 2i + 1 corrects x by (s' - s) (m' - h) / 2.
    """
    grid = flow_grid(steps, **(FlowOptions(timestep_spacing="linspace") | options))
    ds = grid.direction * np.diff(grid.s)
    b, e = np.zeros(2 * len(ds) - 1), np.zeros(2 * len(ds) - 1)
    b[0::2], b[1::2] = ds, ds[:-1] / 2
    e[1::2] = -ds[:-1] / 2
    rows = np.append(0, np.repeat(np.arange(1, len(ds)), 2))
    step = Coefficients(1.0, b, 0.0, 0.0, 1.0, 0.0, e)
    return assemble("flow-heun", grid.tau[rows], flow(grid.s[rows]), step, draws=False)

"""The kernel walks the engine's tables as the engine's own loop does."""

from typing import Any

import numpy as np
import pytest
import torch

from fewstep import _runtime
from fewstep.engine.checks import Array
from fewstep.engine.sampling import sample
from fewstep.engine.schedule import schedule
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.kernels.sampler_step import sampler_step

SEEDS = [7, 2**64 - 3]
SHAPE = (3, 4, 6)
NAMES = ["euler", "euler-ancestral", "dpmpp-2m", "lcm", "tcd", "ddpm", "flow-euler", "trigflow", "add-demo"]


def network(u: torch.Tensor, tau: float) -> torch.Tensor:
    """Not linear."""
    return 0.7 * u / (1 + u * u) + 1e-3 * min(tau, 1.0)


def noise(step: int) -> torch.Tensor:
    return torch.from_numpy(_runtime.normal(SEEDS, step, int(np.prod(SHAPE))).copy()).reshape(len(SEEDS), *SHAPE)


def device_table(table: Schedule | GuidedSchedule) -> torch.Tensor:
    plan = table.schedule if isinstance(table, GuidedSchedule) else table
    s = np.array([*plan.s_in[1:], plan.out_scale])
    b, q = (table.b_null, table.q_null) if isinstance(table, GuidedSchedule) else (plan.b, plan.q)
    columns: list[Array] = [plan.a, b, plan.c, plan.p, q, plan.d, plan.e, plan.r, s]
    if isinstance(table, GuidedSchedule):
        columns += [table.b_cond, table.q_cond]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))


def run(table: Schedule | GuidedSchedule, device: str) -> torch.Tensor:
    plan = table.schedule if isinstance(table, GuidedSchedule) else table
    columns = device_table(table).to(device)
    seeds = torch.from_numpy(np.array(SEEDS, np.uint64).view(np.int64)).to(device)
    x = plan.init * noise(0).to(device)
    u: Any = float(plan.s_in[0]) * x
    h: Any = torch.full_like(x, float("nan"))
    for i, tau in enumerate(plan.tau):
        m = network(u, float(tau))
        m2 = 0.5 * m + 0.1 if isinstance(table, GuidedSchedule) else None
        x, u, h = sampler_step(x, m, columns, i, m2=m2, history=h, seeds=seeds)
    out: torch.Tensor = u
    return out


@pytest.mark.parametrize(("name", "steps"), [("lcm", 1), *((name, 3) for name in NAMES)])
def test_a_schedule_is_walked_as_the_reference_loop_does(name: str, steps: int, device: str) -> None:
    table = schedule(name, steps)
    expected = sample(table, network, noise(0).double(), lambda i: noise(i + 1).double())
    torch.testing.assert_close(run(table, device).cpu().double(), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["ddim", "dpmpp-2m"])
def test_guidance_is_folded_into_the_table(name: str, device: str) -> None:
    table = schedule(name, 3).guided([1.5, 2.0, 3.0])

    def two_heads(u: torch.Tensor, tau: float) -> tuple[torch.Tensor, torch.Tensor]:
        m = network(u, tau)
        return m, 0.5 * m + 0.1

    expected = sample(table, two_heads, noise(0).double(), lambda i: noise(i + 1).double())
    torch.testing.assert_close(run(table, device).cpu().double(), expected, rtol=2e-5, atol=2e-5)

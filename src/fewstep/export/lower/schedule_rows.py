"""Schedules as the rows that a plan's sampler reads, those of all its step counts one after the other."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.bundle_manifest import Manifest
from fewstep.engine.request import contract_schedule
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.errors import ContractError

COLUMNS = ("a", "b", "c", "p", "q", "d", "e", "r")
LARGEST = float(np.finfo(np.float32).max)  # clamps nothing finite; a plan's tensors hold no Inf
Rows = NDArray[np.float32]
Tables = Mapping[int, Schedule | GuidedSchedule]  # by step count


def contract_tables(manifest: Manifest, steps: Sequence[int] | None) -> Tables:
    """The schedule of each step count, by default of all that the contract names. Raises ContractError."""
    legal = manifest.schedule.steps
    if steps is not None and (not steps or not legal.keys() >= set(steps)):
        raise ContractError(f"{manifest.name}: steps: expected some of {sorted(legal)}, got {list(steps)}")
    tables: dict[int, Schedule | GuidedSchedule] = {}
    for N in sorted(legal if steps is None else set(steps)):
        tables[N] = contract_schedule(manifest, N)
        table = plain(tables[N])
        if table.two_times or len(table) != N:
            raise ContractError(
                f"schedule {table.name}: expected a network of one time that is called {N} times, got "
                f"{'two times' if table.two_times else f'{len(table)} calls'}"
            )
    return tables


def plain(schedule: Schedule | GuidedSchedule) -> Schedule:
    """Without its guidance."""
    return schedule if isinstance(schedule, Schedule) else schedule.schedule


def first_rows(tables: Tables) -> dict[int, int]:
    """Step count -> its first row."""
    ends = np.cumsum([0, *tables]).tolist()
    return dict(zip(tables, ends, strict=False))


def schedule_rows(schedules: Tables) -> dict[str, Rows]:
    """tau (rows), coefficients (rows, 9), with guidance (rows, 11), and scales (rows, 2), as docs/plan.md has them."""
    tables = {N: plain(schedule) for N, schedule in schedules.items()}
    scales = [np.stack([np.full(N, table.init), table.s_in], axis=1) for N, table in tables.items()]
    return {
        "tau": np.concatenate([table.tau for table in tables.values()]).astype(np.float32),
        "coefficients": np.concatenate([_coefficients(schedule) for schedule in schedules.values()]),
        "scales": np.concatenate(scales).astype(np.float32),
    }


def _coefficients(schedule: Schedule | GuidedSchedule) -> Rows:
    """The ninth column scales what the network reads next, or the result. With guidance b and q are of the output
    without what is asked for, and two columns more of the one with it.
    """
    table = plain(schedule)
    found = {name: np.minimum(getattr(table, name), LARGEST) for name in COLUMNS}
    found["s"] = np.append(table.s_in[1:], table.out_scale)
    if isinstance(schedule, GuidedSchedule):
        found |= {"b": schedule.b_null, "q": schedule.q_null, "b2": schedule.b_cond, "q2": schedule.q_cond}
    columns = list(found.values())
    return np.stack(columns, axis=1).astype(np.float32)

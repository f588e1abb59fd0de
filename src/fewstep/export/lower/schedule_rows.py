"""Schedules as the rows that a plan's sampler reads, those of all its step counts one after the other."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.bundle_manifest import Manifest
from fewstep.engine.request import contract_schedule
from fewstep.engine.table import Schedule
from fewstep.errors import ContractError

COLUMNS = ("a", "b", "c", "p", "q", "d", "e", "r")
LARGEST = float(np.finfo(np.float32).max)  # clamps nothing finite; a plan's tensors hold no Inf
Rows = NDArray[np.float32]


def contract_tables(manifest: Manifest, steps: Sequence[int] | None) -> dict[int, Schedule]:
    """The schedule of each step count, by default of all that the contract names. Raises ContractError."""
    legal = manifest.schedule.steps
    if steps is not None and (not steps or not legal.keys() >= set(steps)):
        raise ContractError(f"{manifest.name}: steps: expected some of {sorted(legal)}, got {list(steps)}")
    tables: dict[int, Schedule] = {}
    for N in sorted(legal if steps is None else set(steps)):
        table = contract_schedule(manifest, N)
        if not isinstance(table, Schedule):
            raise ContractError(
                f"{manifest.name}: guided by {manifest.schedule.guidance:g}, and a plan has no guidance; the backend "
                "onnxruntime runs it"
            )
        if table.two_times or len(table) != N:
            raise ContractError(
                f"schedule {table.name}: expected a network of one time that is called {N} times, got "
                f"{'two times' if table.two_times else f'{len(table)} calls'}"
            )
        tables[N] = table
    return tables


def first_rows(tables: Mapping[int, Schedule]) -> dict[int, int]:
    """Step count -> its first row."""
    ends = np.cumsum([0, *tables]).tolist()
    return dict(zip(tables, ends, strict=False))


def schedule_rows(tables: Mapping[int, Schedule]) -> dict[str, Rows]:
    """tau (rows), coefficients (rows, 9) and scales (rows, 2), as docs/plan.md has them."""
    scales = [np.tile([table.init, table.s_in[0]], (N, 1)) for N, table in tables.items()]
    return {
        "tau": np.concatenate([table.tau for table in tables.values()]).astype(np.float32),
        "coefficients": np.concatenate([_coefficients(table) for table in tables.values()]),
        "scales": np.concatenate(scales).astype(np.float32),
    }


def _coefficients(table: Schedule) -> Rows:
    """The last column scales what the network reads next, or the result."""
    columns = [np.minimum(getattr(table, name), LARGEST) for name in COLUMNS]
    columns.append(np.append(table.s_in[1:], table.out_scale))
    return np.stack(columns, axis=1).astype(np.float32)

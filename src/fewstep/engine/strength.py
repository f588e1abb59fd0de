"""Strength to the row of a schedule that changing a picture begins with, as diffusers' pipelines choose it."""

from fewstep.engine.checks import short
from fewstep.engine.picture_levels import first_levels
from fewstep.engine.table import Schedule
from fewstep.errors import ContractError

# Their pipelines round N - N * strength down, those of the others N * strength.
FLOWS = ("flow-ancestral", "flow-euler", "flow-heun", "flow-map-euler", "flow-stochastic", "sana-sprint")


def first_row(table: Schedule, strength: float) -> int:
    """The row to begin with so that about the share `strength`, in (0, 1], of N rows runs: get_timesteps of diffusers.

    Raises ContractError where none would run, or where the row needs the one before it.
    """
    N = len(table)
    first = int(max(N - N * strength, 0)) if table.name in FLOWS else N - min(int(N * strength), N)
    if first == N:
        raise ContractError(
            f"strength: {short(strength)} of {N} steps leaves none to run; expected {1 / N:.4g} or more, or more steps"
        )
    first_levels(table, first, picture=True, masked=False)
    return first

"""At what signal and noise levels a picture joins a schedule's loop: (alpha, sigma) of alpha * x_0 + sigma * z_0."""

from fewstep.engine.table import Schedule
from fewstep.errors import ContractError


def first_levels(table: Schedule, first: int, *, picture: bool, masked: bool) -> tuple[float, float]:
    """Of the state that row `first` begins with.

    It is noise alone where there is no picture and, as in diffusers' inpainting, where every row runs behind a mask.
    Raises ContractError for a row that is not there or needs the one before it.
    """
    if not 0 <= first < len(table):
        raise ContractError(f"schedule {table.name}: expected a first row of 0 to {len(table) - 1}, got {first}")
    if table.e[first]:
        raise ContractError(
            f"schedule {table.name}: row {first} needs what the row before it left; begin with another, by another "
            "strength or step count"
        )
    if not picture or (masked and first == 0):
        return 0.0, table.init
    return float(table.alpha[first]), float(table.sigma[first])


def kept_levels(table: Schedule, i: int) -> tuple[float, float]:
    """Of what a mask keeps after row i: those of the next row, at the end the picture itself."""
    return (float(table.alpha[i + 1]), float(table.sigma[i + 1])) if i + 1 < len(table) else (1.0, 0.0)

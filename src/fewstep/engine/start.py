"""Where a request begins: at its seeds' noise, or at pictures to change (SDEdit, arXiv:2108.01073), masked or whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.noise import Noise
from fewstep.engine.picture_levels import first_levels
from fewstep.engine.table import Schedule


@dataclass(frozen=True, eq=False)
class Start:
    """What a request gives beside its seeds. By default nothing: text to image.

    noise: of each image, by default its seed's. latents: float32 (n, ...), x_0 of the pictures to change, in the
    state's own scale. mask: float32 (n, 1, h, w), 1 where a picture is made anew, 0 where its latents are kept.
    first: the row of the schedule that the loop begins with. Mask and first are for pictures to change alone.
    """

    noise: Sequence[Noise] | None = None
    latents: NDArray[np.float32] | None = None
    mask: NDArray[np.float32] | None = None
    first: int = 0

    def __post_init__(self) -> None:
        assert self.latents is not None or (self.mask is None and self.first == 0)

    def of(self, i: int) -> Start:
        """Image i's, as a batch of one."""
        rows = slice(i, i + 1)
        return replace(
            self,
            noise=None if self.noise is None else self.noise[rows],
            latents=None if self.latents is None else self.latents[rows],
            mask=None if self.mask is None else self.mask[rows],
        )

    def levels(self, table: Schedule) -> tuple[float, float]:
        """(alpha, sigma) of the first state, alpha * latents + sigma * z_0. Raises ContractError."""
        return first_levels(table, self.first, picture=self.latents is not None, masked=self.mask is not None)

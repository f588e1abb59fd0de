"""A schedule's state in numpy: every array made once, every step in place, the same bits as engine.sampling.sample."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.picture_levels import kept_levels
from fewstep.engine.start import Start
from fewstep.engine.table import GuidedSchedule, Schedule

Array = NDArray[np.float32]
Term = tuple[float, Array | None]


class State:
    """x, its history h and the network's input u, each float32 of one shape."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.x, self.u, self._next, self._y, self._h, self._scratch = (np.zeros(shape, np.float32) for _ in range(6))

    def start(self, schedule: Schedule, noise: Array, start: Start) -> None:
        """x = init * noise, or the pictures to change with the noise of their first row."""
        alpha, sigma = start.levels(schedule)
        self._sum(self.x, (sigma, noise), (alpha, start.latents))

    def scale_input(self, schedule: Schedule, i: int) -> Array:
        """u = s_in[i] * x."""
        return np.multiply(self.x, np.float32(schedule.s_in[i]), out=self.u)

    def advance(self, schedule: Schedule | GuidedSchedule, i: int, outputs: Sequence[Array], z: Array | None) -> None:
        """Step i of the general form. outputs: (m,), or (m_null, m_cond) for a GuidedSchedule. z: None if c[i] is 0."""
        table = schedule if isinstance(schedule, Schedule) else schedule.schedule
        b, q = [table.b[i]], [table.q[i]]
        if isinstance(schedule, GuidedSchedule):
            b, q = [schedule.b_null[i], schedule.b_cond[i]], [schedule.q_null[i], schedule.q_cond[i]]
        if table.d[i] or (i + 1 < len(table) and table.e[i + 1]):
            self._sum(self._y, (table.p[i], self.x), *zip(q, outputs, strict=True))
            if np.isfinite(table.r[i]):
                np.clip(self._y, -np.float32(table.r[i]), np.float32(table.r[i]), out=self._y)
        noise = () if z is None else ((table.c[i], z),)
        moves = zip(b, outputs, strict=True)
        self._sum(self._next, (table.a[i], self.x), *moves, (table.d[i], self._y), (table.e[i], self._h), *noise)
        self.x, self._next = self._next, self.x
        self._y, self._h = self._h, self._y

    def keep(self, schedule: Schedule, i: int, noise: Array, start: Start) -> None:
        """After step i: the pictures, with the first noise at the level reached, where a mask keeps them."""
        if start.mask is None:
            return
        alpha, sigma = kept_levels(schedule, i)
        self._sum(self._next, (sigma, noise), (alpha, start.latents))
        self._next *= 1 - start.mask
        self.x *= start.mask
        self.x += self._next

    def finish(self, schedule: Schedule) -> Array:
        """out_scale * x, valid until the next start."""
        return np.multiply(self.x, np.float32(schedule.out_scale), out=self.x)

    def _sum(self, out: Array, *terms: Term) -> None:
        """out = the sum of scale * array over scales that are not 0, whose arrays are there."""
        (scale, array), *rest = [term for term in terms if term[0] != 0] or terms[:1]
        assert array is not None
        np.multiply(array, np.float32(scale), out=out)
        for scale, array in rest:
            assert array is not None
            np.multiply(array, np.float32(scale), out=self._scratch)
            out += self._scratch

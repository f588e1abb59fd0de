"""The table every sampler is: all scalars of a few-step generation, known before the first network call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fewstep.engine.checks import Array, numbers, real, refuse
from fewstep.errors import InputError

COLUMNS = ("tau", "s_in", "a", "b", "c", "p", "q", "d", "e", "r", "draws", "target", "alpha", "sigma")


def _frozen(values: Array) -> Array:
    """Read-only for good; adding 0 turns -0 into 0."""
    return np.frombuffer((values + 0.0).tobytes())


@dataclass(frozen=True, eq=False)
class Schedule:
    """A sampler of N network calls. With unit noise z, fresh noise z_i and history h = 0:

        x = init * z
        u = s_in * x;  m = network(u, tau);  y = clamp(p*x + q*m, -r, r)
        x = a*x + b*m + d*y + e*h + c*z_i;  h = y                            N times
        out = out_scale * x

    Each column is a read-only float64 array of length N. `draws` is 1.0 where the reference draws z_i, even if c is 0
    there, else 0.0. `r` is inf where nothing is clamped. `target` is the time the step goes to, in the units of tau,
    for networks of two times (MeanFlow, shortcut, IMM, CTM, flow maps), else NaN; see sample(with_target=True).
    `alpha`, `sigma` are the levels of the state before step i, alpha*x_0 + sigma*eps: where a picture joins the loop.
    An illegal table raises InputError.
    """

    name: str
    init: float
    out_scale: float
    tau: Array
    s_in: Array
    a: Array
    b: Array
    c: Array
    p: Array
    q: Array
    d: Array
    e: Array
    r: Array
    draws: Array
    target: Array
    alpha: Array
    sigma: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "init", real("init", self.init, 0, above=True))
        object.__setattr__(self, "out_scale", real("out_scale", self.out_scale, 0, above=True))
        N = len(self.tau)
        for column in COLUMNS:
            values = np.asarray(getattr(self, column), np.float64)
            if N == 0 or values.shape != (N,):
                raise InputError(f"{self.name}.{column}: expected {max(N, 1)} numbers, got shape {values.shape}")
            object.__setattr__(self, column, _frozen(values))
        self._check_values()

    def _check_values(self) -> None:
        columns = {key: getattr(self, key).tolist() for key in COLUMNS}
        finite = columns.keys() - {"r", "target"}
        if wrong := {key: column for key, column in columns.items() if key in finite and not np.isfinite(column).all()}:
            raise refuse(self.name, "finite coefficients", wrong)
        if not (self.r > 0).all() or np.isinf(self.target).any():
            raise refuse(self.name, "r > 0 and finite or NaN target", (columns["r"], columns["target"]))
        if not np.isin(self.draws, (0, 1)).all() or (self.c[self.draws == 0] != 0).any() or (self.c < 0).any():
            raise refuse(self.name, "c >= 0, and 0 where nothing is drawn", (columns["c"], columns["draws"]))
        if self.e[0] != 0:
            raise refuse(self.name, "e[0] = 0, as there is no history yet", columns["e"][0])

    def __len__(self) -> int:
        """The number N of network calls."""
        return len(self.tau)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return (self.name, self.init, self.out_scale, *(getattr(self, column).tobytes() for column in COLUMNS))

    def __reduce__(self) -> tuple[Any, ...]:
        return Schedule, tuple(getattr(self, field.name) for field in fields(self))

    @property
    def affine(self) -> bool:
        """Whether x = a*x + b*m + c*z_i is all there is: no clamp, no history."""
        return not (self.d.any() or self.e.any())

    @property
    def two_times(self) -> bool:
        """Whether the network is conditioned on the target time as well as on tau."""
        return not np.isnan(self.target).all()

    def guided(self, guidance: float | Sequence[float]) -> GuidedSchedule:
        """Fold classifier-free guidance m = (1-g) m_null + g m_cond into the coefficients.

        guidance: g, or N of them, one a step; 1 is the conditional output alone, 0 the unconditional one.
        The combination is linear, so it costs no pass of its own: b and q each become two. Guidance that rescales the
        combined output is not linear and has to combine the outputs before the update.
        """
        values = [guidance] * len(self) if not isinstance(guidance, Sequence | np.ndarray) else guidance
        g = numbers("guidance", values, len(self))
        return GuidedSchedule(self, *map(_frozen, (g, (1 - g) * self.b, g * self.b, (1 - g) * self.q, g * self.q)))

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any], steps: int | None = None, **options: Any) -> Schedule:
        """The table of a diffusers scheduler.

        config: a scheduler_config.json as a dict with its `_class_name`; missing keys take diffusers' defaults.
        steps, options: those of the scheduler's set_timesteps and step, such as timesteps, sigmas, mu, eta.
        """
        from fewstep.engine.diffusers.config import from_diffusers

        return from_diffusers(config, steps, **options)


@dataclass(frozen=True, eq=False)
class GuidedSchedule:
    """A Schedule whose network returns (m_null, m_cond): b*m is b_null*m_null + b_cond*m_cond, q*m likewise."""

    schedule: Schedule
    guidance: Array
    b_null: Array
    b_cond: Array
    q_null: Array
    q_cond: Array

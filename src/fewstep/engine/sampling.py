"""The one reference loop: runs any Schedule on any array library."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from fewstep.engine.checks import Array
from fewstep.engine.picture_levels import first_levels, kept_levels
from fewstep.engine.table import GuidedSchedule, Schedule


class State(Protocol):
    """What the loop asks of an array: numpy, torch and jax arrays have it."""

    def __rmul__(self, scale: Any, /) -> Any: ...

    def __add__(self, other: Any, /) -> Any: ...

    def clip(self, low: Any, high: Any, /) -> Any: ...


X = TypeVar("X", bound=State)


def advance(schedule: Schedule | GuidedSchedule, i: int, x: X, m: Any, h: X | None, z: X | None) -> tuple[X, X | None]:
    """Step i: the next x and h from the state x, the network's output m, the history h and fresh noise z.

    m: an array, or the pair (m_null, m_cond) for a GuidedSchedule. h: None at step 0. z: None where nothing is drawn.
    Terms whose coefficient is 0 are left out, so their arrays may be anything.
    """
    table = schedule if isinstance(schedule, Schedule) else schedule.schedule
    b, q = _gains(schedule)
    outputs = m if isinstance(schedule, GuidedSchedule) else (m,)
    y = None
    if table.d[i] or (i + 1 < len(table) and table.e[i + 1]):
        y = _weighted((table.p[i], x), *zip((v[i] for v in q), outputs, strict=True))
        r = float(table.r[i])
        y = y if r == float("inf") else y.clip(-r, r)
    predicted = zip((v[i] for v in b), outputs, strict=True)
    return _weighted((table.a[i], x), *predicted, (table.d[i], y), (table.e[i], h), (table.c[i], z)), y


def _gains(schedule: Schedule | GuidedSchedule) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """The columns b and q, one of each for every output of the network."""
    if isinstance(schedule, GuidedSchedule):
        return (schedule.b_null, schedule.b_cond), (schedule.q_null, schedule.q_cond)
    return (schedule.b,), (schedule.q,)


def _weighted(*terms: tuple[float, Any]) -> Any:
    """The sum of scale * array over scales that are not 0. A Python float leaves the array's dtype as it is."""
    (scale, array), *rest = [term for term in terms if term[0] != 0] or terms[:1]
    total = float(scale) * array
    for scale, array in rest:
        total = total + float(scale) * array
    return total


def sample(
    schedule: Schedule | GuidedSchedule,
    network: Callable[..., Any],
    noise: X,
    draw: Callable[[int], X],
    *,
    with_target: bool = False,
    latents: X | None = None,
    mask: X | None = None,
    first: int = 0,
) -> X:
    """Run the schedule from unit normal noise of any shape and float dtype; the state keeps that dtype.

    network(u, tau) returns m like u, with tau a Python float; with a GuidedSchedule it returns (m_null, m_cond).
    draw(i) returns fresh unit noise like `noise` and is called exactly at the steps where the reference draws, in
    order, after the network. with_target: call network(u, tau, target), for networks of two times.

    latents: x_0 of pictures to change, in the state's own scale; the loop then begins with row `first`. mask: 1 where
    they are made anew, 0 where they are kept. Raises ContractError for a row that the loop cannot begin with.
    """
    table = schedule if isinstance(schedule, Schedule) else schedule.schedule
    alpha, sigma = first_levels(table, first, picture=latents is not None, masked=mask is not None)
    x: Any = _weighted((sigma, noise), (alpha, latents))
    h: Any = None
    new: Any = mask
    for i in range(first, len(table)):
        times = (table.tau[i], table.target[i]) if with_target else (table.tau[i],)
        m = network(float(table.s_in[i]) * x, *map(float, times))
        z = draw(i) if table.draws[i] else None
        x, h = advance(schedule, i, x, m, h, z)
        if mask is not None:
            alpha, sigma = kept_levels(table, i)
            kept = _weighted((sigma, noise), (alpha, latents))
            x = new * x + (1 - new) * kept
    out: X = table.out_scale * x
    return out

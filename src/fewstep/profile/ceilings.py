"""What the device can do at most, measured where and when the kernels are: a large copy, a large matrix product.

Both on random data: matrix units run faster on zeros, since they draw less power.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from fewstep.kernels.cost import Cost
from fewstep.profile.case import normal
from fewstep.profile.machine import cache_bytes
from fewstep.profile.timing import Measure, between_events, spread, wall

CALLS = 10  # a measurement
MEASUREMENTS = 5
COPY_BYTES = {"cuda": 2 << 30, "cpu": 128 << 20}
SIDE = {"cuda": 8192, "cpu": 1024}


@dataclass(frozen=True)
class Ceilings:
    """copy: bytes/s, read and written both counted; product: FLOP/s by dtype name."""

    copy: float
    product: dict[str, float]

    def floor(self, cost: Cost, dtype: torch.dtype) -> float:
        """Seconds that no implementation of this cost is faster than by much."""
        return max(cost.bytes / self.copy, cost.flop / self.product[bare(dtype)])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure_ceilings(
    device: str, dtypes: Iterable[torch.dtype], *, copy_bytes: int | None = None, side: int | None = None
) -> Ceilings:
    """copy_bytes: of the source; side: of the square matrices. By default beyond the caches and large enough."""
    nbytes = copy_bytes or max(COPY_BYTES[device], 2 * cache_bytes(device))
    return Ceilings(
        copy=copy_rate(device, nbytes),
        product={bare(dtype): product_rate(device, dtype, side or SIDE[device]) for dtype in dtypes},
    )


def copy_rate(device: str, nbytes: int) -> float:
    source = torch.randint(256, (nbytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * nbytes / _seconds(device, lambda: target.copy_(source))


def product_rate(device: str, dtype: torch.dtype, side: int) -> float:
    a, b = (normal(device, dtype, seed, side, side, mean=0.0) for seed in (0, 1))
    out = torch.empty_like(a)
    return 2 * side**3 / _seconds(device, lambda: torch.mm(a, b, out=out))


def _seconds(device: str, run: Callable[[], object]) -> float:
    run()
    if device == "cuda":
        measure: Measure = between_events(lambda: [run() for _ in range(CALLS)], CALLS)
    else:
        measure = wall(lambda _: run())
    return spread([measure() for _ in range(MEASUREMENTS)]).p50


def bare(dtype: torch.dtype) -> str:
    """float16 for torch.float16."""
    return str(dtype).removeprefix("torch.")

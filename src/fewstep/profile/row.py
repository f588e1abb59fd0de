"""What is measured of one case: a row of peers."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fewstep.profile.accuracy import Error
from fewstep.profile.timing import Spread

EAGER, COMPILED, FUSED = "eager", "compiled", "fused"
Clock = Literal["graph", "events", "wall"]


@dataclass(frozen=True)
class Peer:
    """One implementation: measured, or the reason why not.

    seconds: of one call; clock: how it was read; launches: kernels on the device; error: None where there is no one
    truth; right: whether it is within the tolerance, at most 4 (max) and 2 (rms) times eager PyTorch's error; share: of
    the ceiling that binds, the case's floor over the median.
    """

    seconds: Spread | None = None
    clock: Clock | None = None
    launches: int | None = None
    error: Error | None = None
    right: bool | None = None
    bytes_per_s: float | None = None
    flop_per_s: float | None = None
    share: float | None = None
    missing: str | None = None


@dataclass(frozen=True)
class Row:
    """One case in one dtype.

    floor: seconds at the ceilings; sets: how many inputs the calls rotate among; beyond_cache: whether these exceed
    twice the device's largest cache, so that every call finds its inputs in memory.
    """

    op: str
    shape: str
    families: tuple[str, ...]
    dtype: str
    bytes: int
    flop: int
    floor: float
    sets: int
    beyond_cache: bool
    peers: Mapping[str, Peer] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: a spread as an object of its percentiles, an infinite error as null."""
        found = asdict(self)
        for name, peer in self.peers.items():
            if peer.seconds is not None:
                found["peers"][name]["seconds"] = peer.seconds._asdict()
            if peer.error is not None:
                errors = asdict(peer.error).items()
                found["peers"][name]["error"] = {key: e if math.isfinite(e) else None for key, e in errors}
        return found


def median(peer: Peer) -> float:
    assert peer.seconds is not None
    return peer.seconds.p50

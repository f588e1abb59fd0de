"""The lanes of the schedules used last: a worker takes one, and gives it back."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from fewstep.engine.backends.lane import Lane
from fewstep.engine.backends.network import Network, Values
from fewstep.engine.bundle_manifest import Manifest
from fewstep.engine.table import GuidedSchedule, Schedule

MOST = 8  # schedules whose tables and lanes are kept; another one's are made in milliseconds
Key = tuple[bool, bytes]


@dataclass
class _Kept:
    tables: Values
    free: deque[Lane] = field(default_factory=deque)


class Lanes:
    """Safe to use from several threads."""

    def __init__(self, network: Network, manifest: Manifest) -> None:
        self._network = network
        self._manifest = manifest
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._lock = Lock()

    def take(self, schedule: Schedule | GuidedSchedule) -> Lane:
        """One that nobody runs, for the schedule's times; its tables are made when the schedule is new."""
        key, tau = _key(schedule)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _Kept(self._network.tables(tau))
                if len(self._kept) > MOST:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            kept = self._kept[key]
            if kept.free:
                return kept.free.pop()
        return Lane(self._network, self._manifest, key[0], kept.tables)

    def give_back(self, lane: Lane, schedule: Schedule | GuidedSchedule) -> None:
        with self._lock:
            kept = self._kept.get(_key(schedule)[0])
            if kept is not None:
                kept.free.append(lane)


def _key(schedule: Schedule | GuidedSchedule) -> tuple[Key, "np.ndarray[tuple[int], np.dtype[np.float32]]"]:
    guided = isinstance(schedule, GuidedSchedule)
    tau = (schedule.schedule if isinstance(schedule, GuidedSchedule) else schedule).tau.astype(np.float32)
    return (guided, tau.tobytes()), tau

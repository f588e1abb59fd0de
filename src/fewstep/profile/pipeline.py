"""Whole requests beside each other: time by stage, launches, memory, and whether they make the same picture."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fewstep.engine.backends.torch.cudnn import tuned_convolutions
from fewstep.profile.failure import first_line
from fewstep.profile.launches import Launches, count_launches
from fewstep.profile.marks import Marks
from fewstep.profile.timing import MIN_ROUNDS, PAUSE, Spread, spread

Pictures = NDArray[np.uint8]
BUDGET = 120.0  # seconds of measuring, beyond the first rounds
WARM_UPS = 2


@dataclass(frozen=True)
class Subject:
    """run: a whole request, setting marks. pictures: what it makes of the same noise as every other subject, (n, H, W,
    3). own_stages: those of the last run, where the subject knows them itself. note: how it was made.
    """

    run: Callable[[], object]
    pictures: Callable[[], Pictures]
    own_stages: Callable[[], dict[str, float]] | None = None
    note: str | None = None


Make = Callable[[], Subject]  # what takes long, such as compiling, happens here


@dataclass(frozen=True)
class Request:
    """apart: grey levels from the first peer's picture, at most and on average; load: seconds to be ready; peak and
    resident: bytes on the device while it ran first and before it was made.
    """

    total: Spread | None = None
    stages: Mapping[str, Spread] | None = None
    load: float | None = None
    launches: Launches | None = None
    peak: int | None = None
    resident: int | None = None
    apart: tuple[int, float] | None = None
    note: str | None = None
    missing: str | None = None

    def as_dict(self) -> dict[str, Any]:
        found = asdict(self)
        found["launches"] = None if self.launches is None else self.launches._asdict()
        found["total"] = None if self.total is None else self.total._asdict()
        found["stages"] = {name: seconds._asdict() for name, seconds in (self.stages or {}).items()}
        return found


@tuned_convolutions()
def profile_requests(
    makers: Mapping[str, Make], marks: Marks, device: str, rounds: int, progress: Callable[[str], None] | None = None
) -> dict[str, Request]:
    """Every peer once a round, in alternating order. One that cannot run says why."""
    subjects: dict[str, Subject] = {}
    requests: dict[str, Request] = {}
    expected: Pictures | None = None
    for name, make in makers.items():
        if progress is not None:
            progress(name)
        try:
            subject, requests[name], made = _prepare(make, marks, device)
        except Exception as failure:  # one that does not fit or compile is a fact about it
            requests[name] = Request(missing=first_line(failure))
            continue
        expected = made if expected is None else expected
        subjects[name], requests[name] = subject, _with(requests[name], apart=_apart(made, expected))

    totals: dict[str, list[float]] = {name: [] for name in subjects}
    stages: dict[str, list[dict[str, float]]] = {name: [] for name in subjects}
    began = time.perf_counter()
    for i in range(rounds):
        if i >= MIN_ROUNDS and time.perf_counter() - began > BUDGET:
            break
        for name, subject in list(subjects.items())[:: 1 if i % 2 == 0 else -1]:
            time.sleep(PAUSE)
            total, found = marks.run(subject.run)
            totals[name].append(total)
            stages[name].append(found if subject.own_stages is None else subject.own_stages())
    for name in subjects:
        by_stage = {stage: spread([found[stage] for found in stages[name]]) for stage in stages[name][0]}
        requests[name] = _with(requests[name], total=spread(totals[name]), stages=by_stage)
    return requests


def _prepare(make: Make, marks: Marks, device: str) -> tuple[Subject, Request, Pictures]:
    resident = peak = launches = None
    if device == "cuda":
        resident = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    subject = make()
    for _ in range(WARM_UPS):
        marks.run(subject.run)
    load = time.perf_counter() - began
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated()
        launches = count_launches(subject.run)
    return (
        subject,
        Request(load=load, launches=launches, peak=peak, resident=resident, note=subject.note),
        subject.pictures(),
    )


def _with(peer: Request, **changes: Any) -> Request:
    return Request(**{**vars(peer), **changes})


def _apart(made: Pictures, expected: Pictures) -> tuple[int, float]:
    difference = np.abs(made.astype(int) - expected.astype(int))
    return int(difference.max()), float(difference.mean())


def stages_in_order(requests: Mapping[str, Request]) -> list[str]:
    """All stages of all requests as they follow each other: steps and updates alternate."""
    places = {"inputs": 0, "prompt": 1, "noise": 2, "step": 3, "update": 3, "decode": 4, "bytes": 5}

    def place(stage: str) -> tuple[int, int]:
        name, _, number = stage.partition(" ")
        return places[name], 2 * int(number or 0) + (name == "update")

    return sorted({stage for found in requests.values() for stage in found.stages or {}}, key=place)

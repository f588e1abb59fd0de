"""Paired timing: every round measures each peer once, in alternating order, so that a drift of the machine falls on
all alike.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Measure = Callable[[], float]  # runs once and returns seconds, of one call
Run = Callable[[int], Any]  # a call with the i-th of the inputs it rotates among
Timings = dict[str, list[float]]

MIN_ROUNDS = 3
PAUSE = 0.005  # seconds before a run on a CPU: by then the threads of the peer before have stopped spinning
GRAPH_SECONDS = 1e-3  # of one replay at least, so that its start does not count
MAX_CALLS = 2048  # in one graph


class Spread(NamedTuple):
    """Seconds at the 20th, 50th and 80th percentile."""

    p20: float
    p50: float
    p80: float


def spread(seconds: Sequence[float]) -> Spread:
    return Spread(*(float(np.percentile(seconds, q)) for q in (20, 50, 80)))


def interleave(measures: Mapping[str, Measure], rounds: int, budget: float = math.inf, pause: float = 0.0) -> Timings:
    """Seconds of each peer, one figure a round. Warm peers up before.

    budget: seconds after which no further round begins, once there are MIN_ROUNDS. pause: seconds before each run.
    """
    seconds: Timings = {name: [] for name in measures}
    began = time.perf_counter()
    for i in range(rounds):
        if i >= MIN_ROUNDS and time.perf_counter() - began > budget:
            break
        for name, measure in list(measures.items())[:: 1 if i % 2 == 0 else -1]:
            time.sleep(pause)
            seconds[name].append(measure())
    return seconds


def wall(run: Run, sets: int = 1) -> Measure:
    """By the host's clock, one call a measurement, the next inputs each time."""
    calls = iter(range(1 << 62))

    def measure() -> float:
        i = next(calls) % sets
        began = time.perf_counter()
        run(i)
        return time.perf_counter() - began

    return measure


def events(run: Run, sets: int) -> Measure:
    """By a pair of CUDA events around one call with each of the inputs; the host's launches count where they are
    slower than the device.
    """
    return between_events(lambda: [run(i) for i in range(sets)], sets)


def graph(run: Run, sets: int) -> Measure:
    """By a pair of CUDA events around one replay of a graph of calls, with each of the inputs as often as it takes to
    fill GRAPH_SECONDS: the device's time alone. Raises RuntimeError where the call cannot be captured.
    """
    import torch

    def captured(calls: int) -> Measure:
        recorded = torch.cuda.CUDAGraph()
        results: deque[Any] = deque(maxlen=sets)  # each inputs' results have memory of their own, as the inputs have
        with torch.cuda.graph(recorded):
            for i in range(calls):
                results.append(run(i % sets))
        return between_events(recorded.replay, calls)

    measure = captured(sets)
    measure()
    rotations = math.ceil(GRAPH_SECONDS / (sets * measure()))
    calls = min(sets * rotations, max(MAX_CALLS, sets))
    return measure if calls == sets else captured(calls)


def flushed(run: Callable[[], object], cache: int) -> Measure:
    """By a pair of CUDA events around one replay of a graph of one call that finds nothing in a cache of that size.
    Emptying it keeps the device busy while the host records the events and the replay. The call must be warm.
    """
    import torch

    filler = torch.empty(4 * cache, dtype=torch.uint8, device="cuda")
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        run()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def measure() -> float:
        filler.zero_()
        start.record()
        recorded.replay()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3

    return measure


def between_events(run: Callable[[], object], calls: int) -> Measure:
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def measure() -> float:
        torch.cuda.synchronize()
        start.record()
        run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / calls

    return measure

from collections.abc import Callable
from typing import Any

import pytest
import torch

from fewstep.profile import timing
from fewstep.profile.timing import between_events, events, flushed, graph, interleave, spread, wall


class Device:
    """A clock that calls advance, and torch.cuda's names for reading it."""

    def __init__(self) -> None:
        self.now = 0.0  # milliseconds
        self.recording: list[float] | None = None
        self.replayed: list[int] = []

    def spend(self, ms: float) -> None:
        if self.recording is None:
            self.now += ms
        else:
            self.recording.append(ms)

    def replace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        device = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                self.at = 0.0

            def record(self) -> None:
                self.at = device.now

            def synchronize(self) -> None: ...

            def elapsed_time(self, end: "Event") -> float:
                return end.at - self.at

        class CUDAGraph:
            calls: tuple[float, ...] = ()

            def replay(self) -> None:
                device.replayed.append(len(self.calls))
                device.now += sum(self.calls)

        class Capture:
            def __init__(self, into: CUDAGraph) -> None:
                self.into = into

            def __enter__(self) -> None:
                device.recording = []

            def __exit__(self, *_: object) -> None:
                self.into.calls, device.recording = tuple(device.recording or ()), None

        for name, fake in (("Event", Event), ("CUDAGraph", CUDAGraph), ("graph", Capture)):
            monkeypatch.setattr(torch.cuda, name, fake)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    fake = Device()
    fake.replace(monkeypatch)
    return fake


def test_peers_take_turns_and_every_other_round_turns_the_order() -> None:
    order: list[str] = []

    def measure(name: str, seconds: float) -> Callable[[], float]:
        def run() -> float:
            order.append(name)
            return seconds

        return run

    found = interleave({"a": measure("a", 1.0), "b": measure("b", 2.0)}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"] and found == {"a": [1.0] * 3, "b": [2.0] * 3}


def test_past_the_budget_no_further_round_begins_once_there_are_a_few() -> None:
    assert len(interleave({"a": lambda: 1.0}, 10, budget=-1)["a"]) == timing.MIN_ROUNDS
    assert len(interleave({"a": lambda: 1.0}, 2, budget=-1)["a"]) == 2


def test_the_host_s_clock_rotates_among_the_inputs() -> None:
    seen: list[int] = []
    measure = wall(seen.append, 3)
    assert all(measure() >= 0 for _ in range(7)) and seen == [0, 1, 2, 0, 1, 2, 0]


def test_spread_is_of_percentiles() -> None:
    assert spread([float(i) for i in range(101)]) == (20, 50, 80)


def test_events_time_one_call_with_each_of_the_inputs(device: Device) -> None:
    measure = events(lambda i: device.spend(1.0 + i), 3)
    assert measure() == pytest.approx(2e-3)


def test_a_graph_of_short_calls_is_filled_and_its_time_is_one_call_s(device: Device) -> None:
    measure = graph(lambda i: device.spend(0.01 * (1 + i)), 2)
    device.replayed.clear()
    assert measure() == pytest.approx(15e-6)
    assert device.replayed == [2 * 34]  # of 30 us a rotation, 34 make a millisecond


def test_a_graph_of_long_calls_holds_each_of_the_inputs_once(device: Device) -> None:
    measure = graph(lambda i: device.spend(5.0), 4)
    device.replayed.clear()
    assert measure() == pytest.approx(5e-3) and device.replayed == [4]


def test_a_graph_holds_so_many_calls_at_most_but_every_one_of_the_inputs(device: Device) -> None:
    graph(lambda i: device.spend(1e-4), 2)()
    assert device.replayed[-1] == timing.MAX_CALLS
    graph(lambda i: device.spend(1e-7), timing.MAX_CALLS + 3)()
    assert device.replayed[-1] == timing.MAX_CALLS + 3


def test_each_of_the_inputs_keeps_its_results_while_a_graph_is_recorded(device: Device) -> None:
    alive = most = 0

    class Result:
        def __init__(self, i: int) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            device.spend(0.1)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    graph(Result, 3)
    assert most == 4 and alive == 0  # those of a rotation, and the one that is being made


def test_emptying_the_cache_is_not_timed(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    class Filler:
        def zero_(self) -> None:
            device.spend(100.0)

    def empty(size: int, **_: Any) -> Filler:
        assert size == 4000
        return Filler()

    monkeypatch.setattr(torch, "empty", empty)
    assert flushed(lambda: device.spend(2.0), 1000)() == pytest.approx(2e-3)


def test_seconds_are_of_one_call(device: Device) -> None:
    assert between_events(lambda: device.spend(8.0), 4)() == pytest.approx(2e-3)

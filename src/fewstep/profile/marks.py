"""Where a request's time goes: marks between its stages, read once it is over."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn


class Marks:
    """On CUDA the marks are events on the current stream, so that nothing waits for them; else the host's clock."""

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        self._marks: list[tuple[str, Any]] = []
        self._began = 0.0

    def run(self, request: Callable[[], object]) -> tuple[float, dict[str, float]]:
        """Seconds by the host's clock of a request to its end on the device, and of its stages by name, in order. What
        comes after the last mark is its last stage's.
        """
        if self._cuda:
            torch.cuda.synchronize()
        self._marks = []
        self._began = time.perf_counter()
        self.mark("start")
        request()
        self.mark("bytes")
        if self._cuda:
            torch.cuda.synchronize()
        total = time.perf_counter() - self._began
        return total, self._stages()

    def mark(self, name: str) -> None:
        """The time since the mark before belongs to this stage."""
        if not self._cuda:
            self._marks.append((name, time.perf_counter()))
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._marks.append((name, event))

    def _stages(self) -> dict[str, float]:
        stages: dict[str, float] = {}
        for (_, before), (name, after) in zip(self._marks, self._marks[1:], strict=False):
            seconds = before.elapsed_time(after) / 1e3 if self._cuda else after - before
            stages[name] = stages.get(name, 0.0) + seconds
        return stages


class Marked(nn.Module):
    """A part of a request between two marks: the n-th call sets the n-th pair of names, and starts over."""

    def __init__(self, part: Callable[..., Any], marks: Marks, names: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        self._part, self._marks, self._names = part, marks, tuple(names)
        self._calls = 0

    def forward(self, *args: Any) -> Any:
        before, after = self._names[self._calls % len(self._names)]
        self._calls += 1
        self._marks.mark(before)
        out = self._part(*args)
        self._marks.mark(after)
        return out


def step_names(steps: int) -> list[tuple[str, str]]:
    """Before the network's i-th call is noise, or the sampler's update of the step before; the call is a step."""
    return [("noise" if i == 0 else f"update {i}", f"step {i + 1}") for i in range(steps)]

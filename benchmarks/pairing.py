"""Peers paired in one run, and rows with what they were taken on."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fewstep.profile import machine as facts
from fewstep.profile.timing import PAUSE, Timings, wall
from fewstep.profile.timing import interleave as take_turns


def interleave(peers: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 2) -> Timings:
    """Wall seconds of each peer, one figure a round. The order within a round alternates."""
    for run in peers.values():
        for _ in range(warmup):
            run()
    return take_turns({name: wall(partial(_call, run)) for name, run in peers.items()}, rounds, pause=PAUSE)


def _call(run: Callable[[], object], i: int) -> object:
    return run()


def summarise(seconds: Timings, ours: str) -> dict[str, dict[str, float]]:
    """Milliseconds at the median, p20 and p80, and the median over rounds of peer / ours."""
    own = np.array(seconds[ours])
    return {
        name: {
            **{
                f"ms_{key}": round(1e3 * float(np.percentile(s, q)), 3)
                for key, q in (("p20", 20), ("p50", 50), ("p80", 80))
            },
            "times_ours": round(float(np.median(np.array(s) / own)), 3),
        }
        for name, s in seconds.items()
    }


def machine(threads: int) -> dict[str, Any]:
    """What the figures were taken on."""
    return {**facts.machine(), "threads": threads}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

"""Paired timing: every round runs each peer once, in turn, so that a drift of the machine falls on all alike."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("fewstep", "numpy", "onnxruntime", "torch", "openvino")
Timings = dict[str, list[float]]
PAUSE = 0.005  # seconds before each run: by then the threads of the peer before have stopped spinning


def interleave(peers: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 2) -> Timings:
    """Wall seconds of each peer, one figure a round. The order within a round alternates."""
    for run in peers.values():
        for _ in range(warmup):
            run()
    seconds: Timings = {name: [] for name in peers}
    for i in range(rounds):
        for name, run in list(peers.items())[:: 1 if i % 2 == 0 else -1]:
            time.sleep(PAUSE)
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return seconds


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


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def machine(threads: int) -> dict[str, Any]:
    """What the figures were taken on."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cpu": cpu or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "python": platform.python_version(),
        "packages": {p: v for p in PACKAGES if (v := _version(p))},
        "commit": commit.stdout.strip(),
    }


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

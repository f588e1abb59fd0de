"""Process start to picture on disk, and peak memory, of `fewstep generate`: python -m benchmarks.start_up"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pairing import machine, write_rows

COMMAND = (
    sys.executable,
    "-m",
    "fewstep",
    "generate",
    "-p",
    "green critter on purple",
    "--steps",
    "2",
    "--seed",
    "7",
    "-o",
)


def run_once(out: Path) -> tuple[float, float]:
    """Wall seconds and peak resident MB of one whole process."""
    began = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [*COMMAND, str(out)], os.environ)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - began
    if status != 0 or not out.exists():
        raise SystemExit(f"fewstep generate failed with status {status}")
    return seconds, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/start_up.local.jsonl"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [run_once(Path(folder) / f"{i}.png") for i in range(args.runs + 1)][1:]
    seconds, megabytes = (np.array(column) for column in zip(*runs, strict=True))
    row: dict[str, Any] = {
        "runs": args.runs,
        "seconds": {f"p{q}": round(float(np.percentile(seconds, q)), 3) for q in (20, 50, 80)},
        "peak_mb": round(float(megabytes.max()), 1),
        "raw_seconds": [round(float(s), 4) for s in seconds],
    }
    print(f"process start to file: {row['seconds']['p50']} s median, peak {row['peak_mb']} MB")
    write_rows(args.out, [{"machine": machine(0)}, row])


if __name__ == "__main__":
    main()

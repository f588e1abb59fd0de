"""Everything a GPU can tell, in order of value: python -m benchmarks.gpu [--out DIR] [--minutes 9]

Each stage is a process of its own (benchmarks.gpu.worker), so that a kernel that takes the device's context with it
costs its own row alone: the stage starts anew behind it. This process needs nothing but the standard library.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.gpu.goals import print_goals
from benchmarks.gpu.journal import Journal
from benchmarks.gpu.runtime import ROOT, environment, make_runtime
from benchmarks.gpu.session import AGAIN

SHARES = {  # of the time, in order
    "facts": 1, "ceilings": 2, "tests": 6, "plans": 12, "kernels": 9, "tune": 6, "pipelines": 9,
}  # fmt: skip
GRACE = 10.0  # seconds between asking a worker to stop and stopping it
LEAST = 30.0  # seconds of a stage: a worker takes some of them to start
MOST_STARTS = 20


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "out/gpu")))
    parser.add_argument("--minutes", type=float, default=9.0, help="after which it has stopped (9)")
    parser.add_argument("--stages", default=",".join(SHARES), help=f"some of {','.join(SHARES)} (all)")
    parser.add_argument("--ops", default="", help="kernels and tune: some operations (all)")
    parser.add_argument("--families", default="", help="plans and pipelines: some families (all)")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--mode", default="default", help="kernels: of torch.compile (default)")
    parser.add_argument(
        "--plans", type=Path, default=ROOT / "build" / "plans", help="plans that are there are not made"
    )
    parser.add_argument("--commit", default="", help="what the rows name, where the checkout has no history")
    args = parser.parse_args(argv)
    end = time.time() + 60 * args.minutes
    stages = args.stages.split(",")
    if unknown := set(stages) - set(SHARES):
        parser.error(f"stages: expected some of {', '.join(SHARES)}, got {', '.join(sorted(unknown))}")
    journal = Journal(args.out / "rows.jsonl")
    journal.write("run", "started", argv=sys.argv[1:] if argv is None else list(argv))

    signal.signal(signal.SIGTERM, _stop)
    try:
        make_runtime()
    except (OSError, RuntimeError, subprocess.CalledProcessError) as failure:
        journal.write("run", "failed", error=str(failure))
        print(f"the compiled runtime could not be built: {failure}", flush=True)
        return 1
    try:
        for stage in (name for name in SHARES if name in stages):
            left = [SHARES[name] for name in stages if list(SHARES).index(name) >= list(SHARES).index(stage)]
            until = time.time() + (end - time.time()) * SHARES[stage] / sum(left)
            options = ["--out", str(args.out), "--ops", args.ops, "--families", args.families]
            options += ["--rounds", str(args.rounds), "--mode", args.mode, "--commit", args.commit]
            options += ["--plans", str(args.plans.resolve())]
            run_stage(journal, stage, min(max(until, time.time() + LEAST), end - GRACE), options)
    except KeyboardInterrupt:
        journal.write("run", "interrupted")
        return 130
    journal.write("run", "done")
    print_goals(journal.rows())
    print(f"rows: {journal.path}", flush=True)
    return 0


def run_stage(journal: Journal, stage: str, until: float, options: Sequence[str]) -> None:
    """Workers, one after the other, until the stage's items are through or its time is."""
    for start in range(MOST_STARTS):
        command = [sys.executable, "-m", "benchmarks.gpu.worker", stage, "--until", f"{until:.3f}", *options]
        command += ["--resume"] if start else []
        code = supervise(command, until)
        if code == 0 or time.time() >= until:
            return
        journal.write(stage, "died", code=code)
        print(f"{stage}: the worker ended with {code}", flush=True)
        if code > 0 and code != AGAIN:
            return


def supervise(command: Sequence[str], until: float) -> int:
    """The exit code of a process that is asked to stop at `until`, and stopped GRACE seconds later."""
    worker = subprocess.Popen(command, cwd=ROOT, env=environment(), start_new_session=True)
    try:
        return worker.wait(max(0.0, until - time.time()))
    except subprocess.TimeoutExpired:
        worker.terminate()
        try:
            return worker.wait(GRACE)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
    finally:
        _kill(worker)


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """The worker and whatever it started, if any of it is left."""
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

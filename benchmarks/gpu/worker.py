"""One stage, item by item: python -m benchmarks.gpu.worker STAGE --out DIR --until EPOCH"""

import argparse
import gc
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gpu.journal import Journal
from benchmarks.gpu.session import AGAIN, Session
from benchmarks.gpu.stages import STAGES
from fewstep.profile import machine as facts


class OutOfTime(BaseException):
    """The signal to stop. No Exception, so that nothing that records failures takes it for one."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=tuple(STAGES))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--until", type=float, default=float("inf"), help="seconds since 1970")
    parser.add_argument("--ops", default="")
    parser.add_argument("--families", default="")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--mode", default="default")
    parser.add_argument("--commit", default="")
    parser.add_argument("--plans", type=Path, default=Path("build/plans"))
    parser.add_argument("--resume", action="store_true", help="leave out what this run has begun")
    args = parser.parse_args(argv)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    which = (_listed(args.ops), _listed(args.families))
    session = Session(device, args.out, args.until, *which, args.rounds, args.mode, args.plans)
    if session.dry:
        print(f"{args.stage}: no CUDA device answers; a dry run on the CPU at tiny shapes", flush=True)
    journal = Journal(args.out / "rows.jsonl", **identity(device), commit=args.commit or facts.commit())
    signal.signal(signal.SIGTERM, _stop)
    done = journal.begun(args.stage) if args.resume else set()
    return run(session, journal, args.stage, done)


def run(session: Session, journal: Journal, name: str, done: set[str]) -> int:
    """The exit code: AGAIN where the device's context was lost."""
    item, began = "", time.perf_counter()
    try:
        for item, measure in STAGES[name](session):
            if item in done:
                continue
            if time.time() > session.until:
                journal.write(name, "skipped", item=item, why="out of time")
                break
            journal.write(name, "started", item=item)
            began = time.perf_counter()
            try:
                for row in measure():
                    journal.write(name, "row", item=item, seconds=round(time.perf_counter() - began, 3), **row.fields)
                    print(f"{name}: {item}: {row.line}", flush=True)
            except Exception as failure:
                text = traceback.format_exc()
                journal.write(name, "failed", item=item, error=str(failure)[:2000], traceback=text[-8000:])
                print(f"{name}: {item}: FAILED: {text.strip().splitlines()[-1][:300]}", flush=True)
            if not _sound(session):
                return AGAIN
    except OutOfTime:
        journal.write(name, "interrupted", item=item, seconds=round(time.perf_counter() - began, 3))
        print(f"{name}: {item}: interrupted", flush=True)
    return 0


def identity(device: str) -> dict[str, str | None]:
    """What every row names; the facts' row says more."""
    versions = {name: facts.version(name) for name in ("torch", "triton")}
    if device != "cuda":
        return {"device": "cpu", **versions}
    gpu = facts.gpu()
    return {"device": gpu["name"], "driver": gpu["driver"], **versions}


def _sound(session: Session) -> bool:
    """Whether the device still answers: after an illegal access nothing of this process does."""
    gc.collect()
    if session.dry:
        return True
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:
        return False
    return True


def _stop(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise OutOfTime


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


if __name__ == "__main__":
    sys.exit(main())

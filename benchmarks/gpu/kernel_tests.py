"""The kernels' own tests, compiled for the device."""

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gpu.runtime import ROOT, environment
from benchmarks.gpu.session import Item, Row, Session

FOLDER = "tests/kernels"
DRY = "tests/kernels/test_margins.py"
PROFILER = "tests/profile/test_on_a_gpu.py"
ELSEWHERE = ("test_aot", "test_mutants", "test_interpreter")  # what they test is not the device
OUTCOME = re.compile(r"(PASSED|FAILED|ERROR|SKIPPED|XFAIL)")
PROCESSES = 8
TAIL = 6000  # characters
SHOWN = 40  # of the failing
MARGIN = 5.0  # seconds to write down how far it came


def tests(session: Session) -> Iterator[Item]:
    def measure() -> Iterator[Row]:
        log = session.out / "kernel_tests.log"
        timed_out = run_tests(session, log)
        text = log.read_text(errors="replace")
        counts, failing = outcomes(text)
        line = ", ".join(f"{count} {name.lower()}" for name, count in sorted(counts.items())) or "no outcome"
        fields = {"outcomes": counts, "failing": failing, "timed_out": timed_out, "tail": text[-TAIL:]}
        line += ", out of time" * timed_out + "".join(f"\n  failing: {name}" for name in failing[:SHOWN])
        yield Row(line, fields)

    yield "kernels", measure


def run_tests(session: Session, log: Path) -> bool:
    """Whether time ran out before the tests were through. Every test's outcome is in the log as it comes."""
    command = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-W", "default", "-p", "no:cacheprovider"]
    command += [DRY] if session.dry else _files(session.ops)
    if not session.dry and find_spec("xdist"):
        command += ["-n", str(PROCESSES), "--dist", "worksteal"]
    limit = max(MARGIN, session.until - time.time() - MARGIN)
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**environment(), "COLUMNS": "200"}, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            process.wait(None if limit == float("inf") else limit)
        except subprocess.TimeoutExpired:
            return True
        finally:
            process.kill()
            process.wait()
    return False


def outcomes(log: str) -> tuple[dict[str, int], list[str]]:
    """How many tests ended how, and the names of those that failed. Lines of pytest -v, with or without xdist."""
    ended: dict[str, str] = {}
    for line in log.splitlines():
        name = re.search(r"tests/\S+::.*?(?=( (PASSED|FAILED|ERROR|SKIPPED|XFAIL)|$))", line)
        outcome = OUTCOME.search(line)
        if name and outcome and " - " not in line:  # not pytest's summary of failures, which says why
            ended[name[0].strip()] = outcome[1]
    failing = [name for name, outcome in ended.items() if outcome in ("FAILED", "ERROR")]
    return dict(Counter(ended.values())), failing


def _files(ops: tuple[str, ...]) -> list[str]:
    found = sorted(path for path in (ROOT / FOLDER).glob("test_*.py") if not path.stem.startswith(ELSEWHERE))
    chosen = [path for path in found if not ops or path.stem.removeprefix("test_").startswith(ops)]
    return [*(os.path.relpath(path, ROOT) for path in chosen), PROFILER]

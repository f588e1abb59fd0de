"""Compiles every kernel at the families' shapes for every architecture, without a GPU, and says what each takes.

python -m benchmarks.aot [--op NAME] [--arch 90] [--few] [--jobs 2]; --few leaves the largest, the smallest and the
oddest shape of each kernel for sm_90, and the largest for the others.
"""

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
import triton

from benchmarks.pairing import write_rows
from fewstep.errors import InputError
from fewstep.kernels.aot import SHARED_KIB, compile_launch, specialise
from fewstep.kernels.launch import Launch
from fewstep.profile.table import CASES

RICHEST = 90  # the architecture whose kernels are compiled at more than one shape when few are asked for


@dataclass(frozen=True)
class Job:
    """One launch of CASES[case], as another process finds it again."""

    case: int
    dtype: torch.dtype
    arch: int
    index: int


@dataclass(frozen=True)
class Row:
    op: str
    shape: str
    dtype: str
    kernel: str
    arch: int
    registers: int = 0
    shared: int = 0
    spills: int = 0
    cubin_bytes: int = 0
    seconds: float = 0.0
    error: str = ""


def launches(case: int, dtype: torch.dtype, arch: int) -> list[Launch]:
    return CASES[case].launches(**CASES[case].make("meta", dtype, 0), arch=arch)[1]


def distinct(ops: Iterable[str], arches: Iterable[int]) -> dict[Job, Launch]:
    """The jobs that compile to different images."""
    found: dict[str, tuple[Job, Launch]] = {}
    for number, case in enumerate(CASES):
        if ops and case.op not in ops:
            continue
        for dtype in case.dtypes:
            for arch in arches:
                for index, launch in enumerate(launches(number, dtype, arch)):
                    found.setdefault(specialise(launch, arch).key, (Job(number, dtype, arch, index), launch))
    return dict(found.values())


def few(jobs: dict[Job, Launch]) -> Iterator[Job]:
    """The largest of each kernel on each architecture; on RICHEST the smallest and the oddest too."""
    groups = defaultdict(list)
    for job, launch in jobs.items():
        groups[launch.kernel.__name__, job.arch].append(job)
    for (_, arch), group in groups.items():
        group.sort(key=work)
        odd = min(group, key=lambda job: round_numbers(jobs[job]))
        yield from dict.fromkeys([group[-1], group[0], odd] if arch == RICHEST else [group[-1]])


def work(job: Job) -> tuple[int, int]:
    """Operations, and bytes where there are none."""
    case = CASES[job.case]
    cost = case.cost(**case.make("meta", job.dtype, 0))
    return cost.flop, cost.bytes


def round_numbers(launch: Launch) -> int:
    """How many of the run-time numbers are multiples of 16."""
    return sum(isinstance(value, int) and value % 16 == 0 for value in launch.args.values())


def compiled(job: Job) -> Row:
    case, launch = CASES[job.case], launches(job.case, job.dtype, job.arch)[job.index]
    began = time.perf_counter()
    row = Row(case.op, case.shape, str(job.dtype).removeprefix("torch."), launch.kernel.__name__, job.arch)
    try:
        cubin = compile_launch(launch, job.arch)
    except InputError as error:
        return Row(**{**asdict(row), "error": str(error)})
    took = round(time.perf_counter() - began, 2)
    measured = {"registers": cubin.registers, "shared": cubin.shared, "spills": cubin.spills}
    return Row(**{**asdict(row), **measured, "cubin_bytes": len(cubin.image), "seconds": took})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--op", action="append", default=[], choices=sorted({case.op for case in CASES}))
    parser.add_argument("--arch", action="append", type=int, default=[], choices=list(SHARED_KIB))
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/aot.local.jsonl"))
    args = parser.parse_args()
    jobs = distinct(args.op, args.arch or SHARED_KIB)
    chosen = list(few(jobs)) if args.few else list(jobs)
    print(f"{'kernel':32} {'shape':40} {'dtype':9} arch  regs  shared spills  cubin")
    rows = []
    with ProcessPoolExecutor(args.jobs, get_context("spawn")) as pool:
        for row in pool.map(compiled, chosen):
            numbers = f"{row.arch:4} {row.registers:5} {row.shared:7} {row.spills:6} {row.cubin_bytes:6}"
            print(f"{row.kernel:32} {row.shape:40} {row.dtype:9} {numbers} {row.error}", flush=True)
            rows.append(asdict(row))
    write_rows(args.out, [{"triton": triton.__version__, "torch": torch.__version__}, *rows])
    return int(any(row["error"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())

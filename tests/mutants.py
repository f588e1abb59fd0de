"""Do the tests find a small mistake in a kernel? Makes each mistake, runs the tests that import the kernel, and counts.

python tests/mutants.py [--op ada_norm] [--sample 40] [--jobs 2] [--json found.json]. Fails where fewer than 95 % of a
file's mutants are found. A crash, a refusal and more than the CPU time allowed count as found.
"""

import argparse
import importlib.util
import json
import os
import random
import re
import resource
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ |= {"TRITON_INTERPRET": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"}

import pytest
import torch  # noqa: F401  imported once, here, and not in every child
import triton  # noqa: F401
from mutants_equivalent import EQUIVALENT
from mutants_source import Mutant, mutants

ROOT = Path(__file__).parents[1]
TOLD = ("function", "line", "text", "change")
ENOUGH = 0.95
MEMORY = 16 << 30  # bytes of address space
IMPORT = re.compile(r"^\s*from ([\w.]+) import", re.MULTILINE)


@dataclass
class Tests:
    """Of one kernel file; those that find most go first, then the quickest."""

    paths: list[str]
    seconds: dict[str, float] = field(default_factory=dict)
    finds: Counter[str] = field(default_factory=Counter)

    def rank(self, name: str) -> tuple[int, float]:
        return -self.finds[name], self.seconds.get(name, 0.0)


@dataclass(frozen=True)
class Result:
    name: str
    found: int
    counted: int
    equivalent: int
    survivors: list[Mutant]

    def row(self) -> dict[str, Any]:
        lived = [{name: getattr(mutant, name) for name in TOLD} for mutant in self.survivors]
        return {**vars(self), "survivors": lived}


class Mutated(MetaPathFinder):
    """Imports one module from another file."""

    def __init__(self, module: str, path: Path) -> None:
        self.module, self.path = module, path

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path) if name == self.module else None


class Watcher:
    """Orders the tests, and notes how long each took and which failed."""

    def __init__(self, tests: Tests) -> None:
        self.tests = tests
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self.tests.rank(item.nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed = report.nodeid


def start(module: str, source: Path, tests: Tests, report: Path, cpu_seconds: int) -> int:
    """Fork a process that runs the tests with the module taken from source; returns its id."""
    child = os.fork()
    if child:
        return child
    code = 3
    try:
        for limit, value in (("CPU", cpu_seconds), ("AS", MEMORY), ("CORE", 0)):
            resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (value, value))
        log = os.open(report.with_suffix(".log"), os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.meta_path.insert(0, Mutated(module, source))
        watcher = Watcher(tests)
        options = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
        code = int(pytest.main([*options, *tests.paths], plugins=[watcher]))
        report.write_text(json.dumps({"failed": watcher.failed, "seconds": watcher.seconds}))
    finally:
        os._exit(code)


def survivors(module: str, made: list[Mutant], tests: Tests, jobs: int, folder: Path) -> Iterator[Mutant]:
    """The mutants that every test passes."""
    spent = sum(tests.seconds.values())
    waiting, running = list(enumerate(made))[::-1], dict[int, tuple[int, Mutant]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            index, mutant = waiting.pop()
            source = folder / f"mutant_{index}.py"
            source.write_text(mutant.source)
            pid = start(module, source, tests, folder / f"{index}.json", cpu_seconds=int(30 + 3 * spent))
            running[pid] = index, mutant
        pid, status = os.wait()
        index, mutant = running.pop(pid)
        report = folder / f"{index}.json"
        if report.exists():
            tests.finds[json.loads(report.read_text())["failed"]] += 1
        if status == 0:
            yield mutant


def examine(name: str, module: str, path: Path, tests: Tests, jobs: int, sample: int) -> Result:
    made = list(mutants(path.read_text()))
    same = {(e.text, e.change) for e in EQUIVALENT if e.file == path.name}
    counted = [mutant for mutant in made if (mutant.text, mutant.change) not in same]
    same_count = len(made) - len(counted)
    if 0 < sample < len(counted):
        counted = random.Random(name).sample(counted, sample)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pid = start(module, path, tests, folder / "baseline.json", cpu_seconds=600)
        if os.waitpid(pid, 0)[1] != 0:
            print(f"{name}: its tests fail without a mutant:\n{(folder / 'baseline.log').read_text()}", flush=True)
            return Result(name, 0, len(counted), same_count, counted)
        tests.seconds = json.loads((folder / "baseline.json").read_text())["seconds"]
        lived = sorted(survivors(module, counted, tests, jobs, folder), key=lambda mutant: mutant.line)
    found = len(counted) - len(lived)
    took = time.perf_counter() - began
    percent = 100 * found / max(len(counted), 1)
    print(f"{name}: {found} of {len(counted)} found ({percent:.1f} %), {same_count} equivalent, {took:.0f} s")
    for mutant in lived:
        print(f"  {path.name}:{mutant.line} {mutant.function}: {mutant.change}\n    {mutant.text}", flush=True)
    return Result(name, found, len(counted), same_count, lived)


def tests_of(module: str, imports: dict[str, set[str]], files: Iterable[Path]) -> Tests:
    """The test files that import the module, directly or not, those of its own name first."""
    found = [file for file in files if module in reached(set(IMPORT.findall(file.read_text())), imports)]
    own = f"test_{module.rpartition('.')[2]}"
    return Tests([str(file) for file in sorted(found, key=lambda file: (not file.stem.startswith(own), file.name))])


def reached(names: set[str], imports: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    while names:
        seen |= names
        names = {inner for name in names for inner in imports.get(name, ())} - seen
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--op", action="append", default=[], help="a kernel file's name without .py; all by default")
    parser.add_argument("--sample", type=int, default=0, help="mutants of each file, drawn at random; 0 for all")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--kernels", type=Path, default=ROOT / "src" / "fewstep" / "kernels")
    parser.add_argument("--package", default="fewstep.kernels.")
    parser.add_argument("--tests", type=Path, default=ROOT / "tests" / "kernels")
    args = parser.parse_args()
    modules = {args.package + path.stem: path for path in sorted(args.kernels.glob("*.py"))}
    imports = {module: set(IMPORT.findall(path.read_text())) for module, path in modules.items()}
    results = []
    for module, path in modules.items():
        if (path.stem in args.op or not args.op) and "@triton.jit" in path.read_text():
            tests = tests_of(module, imports, args.tests.glob("test_*.py"))
            results.append(examine(path.stem, module, path, tests, args.jobs, args.sample))
    if args.json:
        args.json.write_text(json.dumps([result.row() for result in results], indent=1))
    return int(not results or any(result.found < ENOUGH * result.counted for result in results))


if __name__ == "__main__":
    sys.exit(main())

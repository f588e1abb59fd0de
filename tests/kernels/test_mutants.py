"""The mutation check itself: it makes the mistakes it says, and tells a strong test from a weak one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mutants_equivalent import EQUIVALENT
from mutants_source import mutants

ROOT = Path(__file__).parents[2]
KERNEL = '''
import triton
import triton.language as tl


@triton.jit
def _double_kernel(x_ptr, y_ptr, N, BLOCK: tl.constexpr):
    """2 x, summed."""
    n = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + n, mask=n < N, other=0.0)
    tl.store(y_ptr, tl.sum(x) * 2.0)


def double(x, y):
    _double_kernel[(1,)](x, y, len(x), BLOCK=8)
'''
TEST = """
import torch
from double import double


def test_double():
    x, y = (torch.randn(16) + 1)[:{size}], torch.zeros(1)
    double(x, y)
    assert {check}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "double.py").write_text(KERNEL)
    return tmp_path


def examined(folder: Path, size: int, check: str) -> tuple[int, dict[str, Any]]:
    (folder / "test_double.py").write_text(TEST.format(size=size, check=check))
    command = ["tests/mutants.py", "--kernels", folder, "--package", "", "--tests", folder]
    done = subprocess.run(
        [sys.executable, *map(str, command), "--jobs", "1", "--json", str(folder / "found.json")],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True,
    )  # fmt: skip
    assert "double:" in done.stdout, done.stdout + done.stderr
    [row] = json.loads((folder / "found.json").read_text())
    return done.returncode, row


def test_a_strong_test_finds_every_mutant(folder: Path) -> None:
    code, row = examined(folder, 6, "(y - 2 * x.sum()).abs() < 1e-5")
    assert row["survivors"] == [] and row["found"] == row["counted"] == 10 and code == 0


def test_a_weak_test_fails_and_its_survivors_are_named(folder: Path) -> None:
    code, row = examined(folder, 8, "y > 3 * x.max()")
    lived = {mutant["change"] for mutant in row["survivors"]}
    assert code == 1 and row["found"] == row["counted"] - len(lived)
    assert {"n < N -> n <= N", "2.0 -> 2.2"} < lived and "tl.sum(x) -> tl.max(x)" not in lived


def test_tests_that_fail_anyway_find_nothing(folder: Path) -> None:
    code, row = examined(folder, 6, "False")
    assert code == 1 and row["found"] == 0


def made(*lines: str) -> set[str]:
    body = "".join(f"    {line}\n" for line in lines)
    return {mutant.change for mutant in mutants(f"@triton.jit\ndef kernel(x_ptr, N: tl.constexpr):\n{body}")}


def test_the_mistakes_that_are_made() -> None:
    assert made("x = a + b") == {"a + b -> a - b", "a + b -> a", "a + b -> b"}
    assert made("x = a * b") == {"a * b -> a + b", "a * b -> a"}
    assert made("x = tl.where(m, a, b)") == {"tl.where(m, a, b) -> tl.where(m, b, a)"}
    assert made("x = tl.load(p, mask=m, other=0.0)") == {"tl.load(p, mask=m, other=0.0) -> tl.load(p)"}
    assert made("x = tl.exp2(a)") == {"tl.exp2(a) -> tl.exp(a)"}
    assert made("acc = tl.dot(a, b, acc)") == {"tl.dot(a, b, acc) -> tl.dot(a, b)"}
    assert made("s += a") == {"s += a -> s -= a", "s += a -> pass"}
    assert made("m = a & b") == {"a & b -> a | b", "a & b -> a", "a & b -> b"}
    assert made("m = a is None or b") == {
        "a is None -> a is not None", "a is None or b -> a is None and b", "a is None or b -> a is None",
        "a is None or b -> b",
    }  # fmt: skip
    assert made("x = -2.0 if C else True") == {
        "-2.0 if C else True -> -2.0 if not C else True", "-2.0 -> 2.0", "2.0 -> 2.2", "True -> False"
    }  # fmt: skip


def test_what_a_cpu_cannot_see_is_left_alone() -> None:
    assert made('"""Text."""', "x = tl.multiple_of(a, 16).to(tl.int64)") == set()
    assert made("x: tl.constexpr = tl.load(p, other=0.0, eviction_policy='evict_last')") == set()
    assert list(mutants("def plain(a, b):\n    return a + b\n")) == []


@pytest.mark.parametrize("file", sorted({equivalent.file for equivalent in EQUIVALENT}))
def test_equivalent_mutants_still_exist(file: str) -> None:
    there = {(mutant.text, mutant.change) for mutant in mutants((ROOT / "src/fewstep/kernels" / file).read_text())}
    assert [e for e in EQUIVALENT if e.file == file and (e.text, e.change) not in there] == []

import subprocess
import sys
from pathlib import Path

import pytest

from fewstep.profile import machine as facts
from fewstep.profile.failure import first_line
from fewstep.profile.launches import STARTS_WORK
from fewstep.profile.machine import cache_bytes, commit, machine, printed


def test_the_machine_is_described() -> None:
    found = machine()
    assert found["device"] == "cpu" and found["cores"] >= 1 and found["cpu"] and "gpu" not in found
    assert found["python"] == ".".join(map(str, sys.version_info[:3])) and found["packages"]["numpy"]


def test_the_commit_is_the_checkout_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(facts, "__file__", str(tmp_path / "machine.py"))
    assert commit() is None
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    subprocess.run([*command, "init", "-q"], check=True)
    subprocess.run([*command, "commit", "-q", "--allow-empty", "-m", "a"], check=True)
    found = commit()
    assert found is not None and len(found) >= 7 and not found.endswith("-dirty")


def test_the_largest_cache_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for i, size in enumerate(("32K", "1024K", "32768K")):
        (tmp_path / f"index{i}").mkdir()
        (tmp_path / f"index{i}" / "size").write_text(f"{size}\n")
    monkeypatch.setattr(facts, "CACHES", tmp_path)
    assert cache_bytes("cpu") == 32 << 20
    monkeypatch.setattr(facts, "CACHES", tmp_path / "none")
    assert cache_bytes("cpu") == facts.DEFAULT_CACHE


def test_a_command_that_is_not_there_prints_nothing() -> None:
    assert printed("no-such-command") is None and printed("false") is None and printed("echo", "a\nb") == "a"


def test_a_failure_is_a_line() -> None:
    assert first_line(ValueError("a\nb")) == "ValueError: a" and first_line(KeyError()) == "KeyError: no message"


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("cudaLaunchKernel", True),
        ("cudaLaunchKernelExC", True),
        ("cuLaunchKernelEx", True),
        ("cudaGraphLaunch", True),
        ("cudaMemcpyAsync", True),
        ("cudaMemsetAsync", True),
        ("cudaDeviceSynchronize", False),
        ("cudaEventRecord", False),
        ("aten::add", False),
    ],
)
def test_what_starts_work_on_the_device(name: str, starts: bool) -> None:
    assert bool(STARTS_WORK.match(name)) == starts

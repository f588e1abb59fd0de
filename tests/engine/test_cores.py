import os
from pathlib import Path

import pytest

from fewstep.engine import cores


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_hyper_threads_of_a_core_count_once(tmp_path: Path) -> None:
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        write(tmp_path / f"cpu{cpu}/topology/thread_siblings_list", siblings + "\n")
    assert cores.physical({0, 1, 2, 3}, tmp_path) == 2
    assert cores.physical({0, 2}, tmp_path) == 1
    assert cores.physical({0, 9}, tmp_path) == 2  # nothing is known of cpu 9


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        ({}, "0::/", None),
        ({"cpu.max": "max 100000"}, "0::/", None),
        ({"cpu.max": "150000 100000"}, "0::/", 1.5),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, "0::/a/b", 2.0),
        ({"a/cpu.max": "400000 100000", "cpu.max": "200000 100000"}, "0::/a", 2.0),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, "3:cpu,cpuacct:/x", 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "", None),
        ({"cpu.max": "rubbish"}, "rubbish", None),
        ({"cpu.max": "1 0"}, "0::/", None),
    ],
)
def test_the_tightest_quota(tmp_path: Path, files: dict[str, str], membership: str, expected: float | None) -> None:
    for name, text in files.items():
        write(tmp_path / "fs" / name, text + "\n")
    write(tmp_path / "cgroup", membership + "\n")
    assert cores.quota(tmp_path / "fs", tmp_path / "cgroup") == expected


def test_a_quota_caps_the_cores_rounded_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "physical", lambda cpus: 8)
    for quota, expected in ((None, 8), (0.5, 1), (1.5, 2), (16.0, 8)):
        monkeypatch.setattr(cores, "quota", lambda quota=quota: quota)
        assert cores.available() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_affinity_is_respected() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores.allowed() == {min(before)} and cores.available() == 1
    finally:
        os.sched_setaffinity(0, before)

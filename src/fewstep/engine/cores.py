"""How many threads the machine will really give this process."""

import math
import os
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")
CGROUPS = Path("/sys/fs/cgroup")


def allowed() -> set[int]:
    """The logical CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def physical(cpus: set[int], root: Path = CPUS) -> int:
    """The number of cores behind logical CPUs: hyper-threads of one core count once."""
    siblings = set()
    for cpu in cpus:
        try:
            siblings.add((root / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip())
        except OSError:
            siblings.add(str(cpu))
    return len(siblings)


def quota(root: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """The CPUs worth of time that control groups (version 2, then 1) allow, or None without a limit."""
    try:
        paths = dict(line.split(":", 2)[1:] for line in membership.read_text().splitlines())
    except (OSError, ValueError):
        paths = {}
    limits = []
    group = root / paths.get("", "/").lstrip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(root):
            break
        limits.append(_limit(folder / "cpu.max"))
    for controller in ("cpu", "cpu,cpuacct"):
        folders = (root / controller / paths.get(controller, "/").lstrip("/"), root / controller)
        limits += [_limit(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us") for folder in folders]
    return min((limit for limit in limits if limit is not None), default=None)


def _limit(*files: Path) -> float | None:
    try:
        most, period = " ".join(file.read_text().strip() for file in files).split()
        return None if most in ("max", "-1") else int(most) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def available() -> int:
    """Physical cores this process may use, within its control group's quota (rounded up); at least 1."""
    cores, limit = physical(allowed()), quota()
    return max(1, cores if limit is None else min(cores, math.ceil(limit)))

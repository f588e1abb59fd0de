"""NVIDIA's compute-sanitizer around a plan's requests, where it is installed."""

import glob
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.runtime import ROOT, environment
from benchmarks.gpu.session import Row

NAME = "compute-sanitizer"
TOOLS = ("memcheck", "racecheck", "initcheck")
ELSEWHERE = ("/usr/local/cuda*/bin", "/usr/local/cuda*/compute-sanitizer", "/opt/nvidia/*/bin", "/opt/cuda*/bin")
FOUND_SOMETHING = 86  # the exit code we ask for
SUMMARY = re.compile(r"^=+ (?:ERROR|RACECHECK) SUMMARY: .*$", re.MULTILINE)
TAIL = 4000  # characters


def find() -> str | None:
    known = shutil.which(NAME)
    return known or next(iter(sorted(path for each in ELSEWHERE for path in glob.glob(f"{each}/{NAME}"))), None)


def sanitized(tool: str, plan: Path, device: str, seconds: float) -> Row:
    """One of TOOLS over one run of every step count, by a process that has no PyTorch in it."""
    request = [sys.executable, "-m", "benchmarks.gpu.one_run", str(plan), "--device", device]
    program = find()
    if program is None or device != "cuda":
        why = "needs a GPU" if device != "cuda" else f"{NAME} is not installed"
        return Row(f"not run: {why}", {"what": tool, "missing": why, "command": request})
    command = [program, "--tool", tool, "--error-exitcode", str(FOUND_SOMETHING), "--print-limit", "20", *request]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=max(1.0, seconds), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as over:
        said = over.stdout.decode(errors="replace") if isinstance(over.stdout, bytes) else over.stdout or ""
        return Row(f"not through in {seconds:.0f} s", {"what": tool, "timed_out": True, "tail": said[-TAIL:]})
    summary = SUMMARY.findall(done.stdout)
    line = summary[-1].strip("= ") if summary else f"exit code {done.returncode}, no summary"
    fields = {"what": tool, "code": done.returncode, "clean": done.returncode == 0, "tail": done.stdout[-TAIL:]}
    return Row(line, fields)

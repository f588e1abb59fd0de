"""Makes a bare checkout importable: its path, and the compiled runtime if nobody has built it."""

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
NAME = f"_runtime{sysconfig.get_config_var('EXT_SUFFIX')}"


def environment() -> dict[str, str]:
    """In which `import fewstep` and `import benchmarks` find this checkout; kernels are interpreted without a GPU."""
    paths = [str(SOURCE), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    found.pop("TRITON_INTERPRET", None)
    return found if gpu_answers() else {**found, "TRITON_INTERPRET": "1"}


def gpu_answers() -> bool:
    try:
        return bool(ctypes.CDLL("libcuda.so.1").cuInit(0) == 0)
    except OSError:
        return False


def make_runtime() -> None:
    """Build fewstep._runtime into the checkout unless it can be imported. It is moved there whole or not at all.

    Raises OSError and CalledProcessError where the tools for it are missing or fail.
    """
    if importable():
        return
    build = ROOT / "build" / f"gpu-{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    nanobind = subprocess.run(
        [sys.executable, "-m", "nanobind", "--cmake_dir"], check=True, capture_output=True, text=True
    ).stdout.strip()
    options = ["FEWSTEP_PYTHON=ON", "FEWSTEP_TESTS=OFF"]
    options += [f"nanobind_DIR={nanobind}", f"Python_EXECUTABLE={sys.executable}"]
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    configure = ["cmake", *generator, "-S", str(ROOT), "-B", str(build), *(f"-D{option}" for option in options)]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(build), "--parallel"], check=True, stdout=subprocess.DEVNULL)
    partial = SOURCE / "fewstep" / f"{NAME}.partial"
    shutil.copyfile(build / NAME, partial)
    os.replace(partial, SOURCE / "fewstep" / NAME)
    if not importable():
        raise RuntimeError(f"{NAME} was built and cannot be imported")


def importable() -> bool:
    command = [sys.executable, "-c", "import fewstep._runtime"]
    return subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, check=False).returncode == 0

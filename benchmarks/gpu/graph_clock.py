"""How long the device takes for a plan's graph: by events around its launch, put there by timed_driver.c."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from fewstep.errors import BackendError

SOURCE = Path(__file__).with_name("timed_driver.c")
DRIVER = "libcuda.so.1"


class GraphClock:
    """driver: what a plan is to be opened with, `_runtime.Program(path, driver=...)`; one plan at a time."""

    def __init__(self, folder: Path, driver: str = DRIVER) -> None:
        """Builds the library in the folder. Raises BackendError without a driver or a C compiler."""
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("g++")
        if compiler is None:
            raise BackendError("the graph's clock needs a C compiler: expected cc, gcc or g++ on the PATH, got none")
        self.driver = str(folder.resolve() / "libtimed_driver.so")
        command = [compiler, "-x", "c", "-shared", "-fPIC", "-O2", "-o", self.driver, str(SOURCE)]
        command += ["-x", "none", "-Wl,--no-as-needed", str(loaded(driver)), "-ldl"]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode != 0:
            raise BackendError(f"the graph's clock cannot be built: {built.stderr.strip()[-500:]}")
        self._library = ctypes.CDLL(self.driver)
        self._library.graph_milliseconds.restype = ctypes.c_float

    def stop(self) -> None:
        """From now on a launch has no events around it."""
        self._set(0)

    def start(self) -> None:
        self._set(1)

    def _set(self, is_timed: int) -> None:
        ctypes.c_int.in_dll(self._library, "is_timed").value = is_timed

    def seconds(self) -> float:
        """Of the last graph that was timed. Raises BackendError where none was launched, or with the driver's error."""
        milliseconds = float(self._library.graph_milliseconds())
        if milliseconds < 0:
            raise BackendError(f"the graph's clock: expected a graph that was launched, got error {-milliseconds:.0f}")
        return milliseconds / 1e3


def loaded(driver: str) -> Path:
    """The file of a library that this process has loaded. Raises BackendError if it cannot be."""
    try:
        ctypes.CDLL(driver)
    except OSError as error:
        raise BackendError(f"the graph's clock needs {driver}: {error}") from error
    name = os.path.basename(driver).partition(".so")[0] + ".so"  # a link's file has the driver's version behind
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = Path(line.split(maxsplit=5)[-1])
        if path.name.startswith(name):
            return path
    raise BackendError(f"the graph's clock: expected {name} among the files that are mapped, got none")

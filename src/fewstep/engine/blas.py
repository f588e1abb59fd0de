"""Where the BLAS of the CPU device lies."""

import sys
from importlib.util import find_spec
from pathlib import Path

from fewstep.errors import MissingDependencyError

PACKAGE = "scipy_openblas32"
SUFFIXES = {"darwin": ".dylib", "win32": ".dll"}


def blas_path() -> str:
    """The library that scipy-openblas32 installs. Raises MissingDependencyError."""
    spec = find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "lib" / f"libscipy_openblas{SUFFIXES.get(sys.platform, '.so')}"
        if path.is_file():
            return str(path)
    raise MissingDependencyError(f"the native backend needs {PACKAGE}'s library; pip install scipy-openblas32")

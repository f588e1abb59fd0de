"""What the native build makes beside the extension: installed with the package, or in a working tree's build folder."""

import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
INSTALLED = (Path(sys.executable).parent, Path(sysconfig.get_path("platlib")) / "fewstep" / "lib")


def native_file(name: str) -> Path:
    found = [path for folder in INSTALLED if (path := folder / name).is_file()]
    found += sorted((ROOT / "build").glob(f"*/{name}"), key=lambda path: -path.stat().st_mtime)
    assert found, f"{name} is neither installed nor built"
    return found[0]

"""What the CUDA device declares of the driver agrees with the header that comes with Triton."""

import re
import subprocess
from pathlib import Path

import triton

ROOT = Path(__file__).parents[2]
HEADERS = Path(triton.__file__).parent / "backends" / "nvidia" / "include"
LOADED = re.compile(r'load\(\w+\.\w+, "(cu\w+?)(_v\d+)?"\)')
VERSIONED = re.compile(r"#\s*define\s+(cu\w+)\s+(?:__CUDA_API_PT[DS]S?Z\()?\1(_v\d+)\b")


def test_types_and_values() -> None:
    source = ROOT / "runtime" / "tests" / "abi" / "cuda_abi.cc"
    command = ["c++", "-std=c++20", "-fsyntax-only", f"-isystem{HEADERS}", f"-I{ROOT / 'runtime' / 'src'}", str(source)]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)
    assert compiled.returncode == 0, compiled.stderr


def test_names() -> None:
    loaded = dict(LOADED.findall((ROOT / "runtime" / "src" / "cuda" / "driver.cc").read_text()))
    header = (HEADERS / "cuda.h").read_text()
    current = {name: version for name, version in VERSIONED.findall(header) if name in loaded}
    assert len(loaded) == 37
    assert {name: version for name, version in loaded.items() if version} == current
    for name in loaded:
        assert re.search(rf"\b{name}\b", header), name

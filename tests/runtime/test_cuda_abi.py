"""What the CUDA device declares of the driver and of cuBLASLt agrees with NVIDIA's own headers.

The driver's come with Triton; those of cuBLASLt with its own package, which is no dependency.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import triton

ROOT = Path(__file__).parents[2]
CUDA = ROOT / "runtime" / "src" / "cuda"
HEADERS = Path(triton.__file__).parent / "backends" / "nvidia" / "include"
BLASLT = [header for path in sys.path for header in Path(path).glob("nvidia/*/include/cublasLt.h")]
LOADED = re.compile(r'load\(\w+\.\w+, "(cu\w+?)(_v\d+)?"\)')
VERSIONED = re.compile(r"#\s*define\s+(cu\w+)\s+(?:__CUDA_API_PT[DS]S?Z\()?\1(_v\d+)\b")


def compiles(source: str, *headers: Path) -> None:
    paths = [*(f"-isystem{folder}" for folder in headers), f"-I{ROOT / 'runtime/src'}", f"-I{ROOT / 'runtime/tests'}"]
    command = ["c++", "-std=c++20", "-fsyntax-only", *paths, str(ROOT / "runtime/tests/abi" / source)]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)
    assert compiled.returncode == 0, compiled.stderr


def test_types_and_values() -> None:
    compiles("cuda_abi.cc", HEADERS)


def test_names() -> None:
    loaded = dict(LOADED.findall((CUDA / "driver.cc").read_text()))
    header = (HEADERS / "cuda.h").read_text()
    current = {name: version for name, version in VERSIONED.findall(header) if name in loaded}
    assert len(loaded) == 37
    assert {name: version for name, version in loaded.items() if version} == current
    for name in loaded:
        assert re.search(rf"\b{name}\b", header), name


@pytest.mark.skipif(not BLASLT, reason="no package with the headers of cuBLASLt")
def test_blaslt() -> None:
    loaded = {name for name, _ in LOADED.findall((CUDA / "blaslt.cc").read_text())}
    assert len(loaded) == 14
    for header in BLASLT:
        compiles("blaslt_abi.cc", header.parent, HEADERS)
        assert loaded <= set(re.findall(r"\bcublasLt\w+", header.read_text()))

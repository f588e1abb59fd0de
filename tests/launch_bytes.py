"""Launches of plans for a GPU, and the images that they name, written without the compiler."""

import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from plan_bytes import Draft, edited, plan_bytes

from fewstep import _runtime
from fewstep.errors import PlanError

KERNEL_IMAGES = Path(__file__).parent / "runtime" / "kernel_images.py"


def image(sizes: Sequence[int], shared: int = 0, entry: str = "kernel", machine: int = 190) -> bytes:
    """An ELF file with the sections that say a kernel's parameters, and no code."""
    params = b"".join(
        struct.pack("<BBHIHHI", 4, 0x17, 12, 0, k, 0, size << 18 | 0x1F000) for k, size in enumerate(sizes)
    )
    info = struct.pack("<BBH", 3, 0x1B, 255) + params + struct.pack("<BBHI", 4, 0x1D, 4, 0)
    contents = {
        "": b"", ".shstrtab": b"", f".text.{entry}": bytes(16), f".nv.info.{entry}": info, f".nv.shared.{entry}": b"",
    }  # fmt: skip
    names = b"\0".join(name.encode() for name in contents) + b"\0"
    contents[".shstrtab"] = names
    out, headers, at = bytearray(64), b"", 0
    for name, data in contents.items():
        is_shared = name.startswith(".nv.shared")
        size = shared if is_shared else len(data)
        headers += struct.pack("<IIQQQQIIQQ", at, 8 if is_shared else 1, 0, 0, len(out), size, 0, 0, 1, 0)
        out += data
        at += len(name) + 1
    out[:64] = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, machine, 1, 0, 0, len(out), 0, 64, 0, 0, 64, len(contents), 1
    )
    return bytes(out + headers)


def launch(params: Sequence[dict[str, Any]], entry: str = "kernel", architecture: int = 90) -> dict[str, Any]:
    return {
        "cubin": "cubin", "entry": entry, "architecture": architecture, "grid": [4, 2, 1], "threads": 128,
        "shared": 1024, "cluster": 1, "params": list(params),
    }  # fmt: skip


def draft(cubin: bytes, launches: Sequence[dict[str, Any]], architectures: Sequence[int] = (90,)) -> Draft:
    out = Draft(device="cuda", architectures=list(architectures))
    x, y = out.given("f32", 8, 16), out.value("f32", 8, 16)
    out.value("f32", 8, 16, buffer=0, row=1)
    out.op("map", [x], [y], code=[["neg", 0]])
    out.stages[0]["ops"][0]["launches"] = list(launches)
    out.outputs = {"y": y}
    out.tensors["cubin"] = np.frombuffer(bytes(cubin), np.uint8)
    return out


def refusal(plan: Draft, edits: dict[str, Any] | None = None, tensors: dict[str, NDArray[Any]] | None = None) -> str:
    where = "stages/0/ops/0/launches/0/"
    named = {key if key.startswith("values") else where + key: value for key, value in (edits or {}).items()}
    with pytest.raises(PlanError) as caught:
        _runtime.check_plan(plan_bytes(edited(plan.document(), named), plan.tensors | (tensors or {})))
    return str(caught.value)


def compiled() -> bytes:
    """What kernel_images.py prints."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, str(KERNEL_IMAGES)]
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout

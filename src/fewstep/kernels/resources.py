"""What a compiled kernel takes of a multiprocessor, read from the image by the cuobjdump that comes with Triton."""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import triton

CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
USAGE = re.compile(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")


class Resources(NamedTuple):
    """registers and local: of each thread, local in bytes (stack included), where spilled registers are; shared: static
    bytes of each block, to which the launch adds the dynamic ones."""

    registers: int
    local: int
    shared: int


def resources(image: bytes, entry: str) -> Resources:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(image)
        file.flush()
        command = [str(CUOBJDUMP), "--dump-resource-usage", file.name]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for name, *numbers in USAGE.findall(printed):
        if name == entry:
            registers, stack, shared, local = map(int, numbers)
            return Resources(registers, stack + local, shared)
    raise AssertionError(f"cuobjdump names no {entry}: {printed}")

"""What an image says of its kernel, read by the cuobjdump that comes with Triton."""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import triton

CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
USAGE = re.compile(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
PARAM = re.compile(r"Ordinal : 0x(\w+)\s+Offset\s+: 0x\w+\s+Size\s+: 0x(\w+)")


class Resources(NamedTuple):
    """registers and local: of each thread, local in bytes, stack included: where spilled registers are. shared: static
    bytes of each block, to which the launch adds the dynamic ones. params: the size of each, in order."""

    registers: int
    local: int
    shared: int
    params: tuple[int, ...]


def resources(image: bytes) -> Resources:
    """Of an image with one kernel."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(image)
        file.flush()
        command = [str(CUOBJDUMP), "--dump-resource-usage", "--dump-elf", file.name]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    [(_, registers, stack, shared, local)] = USAGE.findall(printed)
    sizes = sorted((int(ordinal, 16), int(size, 16)) for ordinal, size in PARAM.findall(printed))
    return Resources(int(registers), int(stack) + int(local), int(shared), tuple(size for _, size in sizes))

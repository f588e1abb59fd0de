"""The images of the C++ tests are what their script compiles."""

import os
import re
import subprocess
import sys
from pathlib import Path

from fewstep.kernels.resources import resources

HERE = Path(__file__).parent
IMAGES = HERE.parents[1] / "runtime" / "tests" / "data"


def head(ptx: str) -> str:
    """All but the code: version, target, parameters, threads."""
    return ptx[: ptx.index("{")]


def test_images(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, str(HERE.parent / "kernels" / "cuda_images.py"), str(tmp_path)]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    made, kept = ({path.name: path.read_bytes() for path in folder.glob("*.cubin")} for folder in (tmp_path, IMAGES))
    assert sorted(made) == sorted(kept)
    for name in made:
        # Registers and code are the compiler's, which changes; the parameters are what the C++ tests pack.
        assert resources(made[name]).params == resources(kept[name]).params, name
        assert resources(made[name]).shared == resources(kept[name]).shared, name
    for path in IMAGES.glob("*.ptx"):
        assert head((tmp_path / path.name).read_text()) == head(path.read_text()), path.name
    assert re.findall(r"^(sum|cluster)\.90 .*shared=(\d+) cluster=(\d)", printed, re.MULTILINE) == [
        ("sum", "65544", "1"),
        ("cluster", "32776", "2"),
    ]

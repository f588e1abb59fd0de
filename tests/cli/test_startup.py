"""What one `fewstep generate` costs beside its network: the modules it imports and the memory at its peak."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_bundle import write_bundle

# ru_maxrss would do, but a child inherits its parent's, here that of the whole test session
CODE = """
import json, re, sys
from pathlib import Path
from fewstep.cli.main import main
code = main()
heavy = sorted({"torch", "onnx", "diffusers", "transformers", "scipy", "triton"} & set(sys.modules))
peak_kb = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(json.dumps({"code": code, "heavy": heavy, "peak_mb": int(peak_kb) / 1024}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from Linux's /proc")
def test_a_picture_needs_neither_torch_nor_400_megabytes(tmp_path: Path) -> None:
    argv = ["generate", "-m", str(write_bundle(tmp_path / "small")), "-o", str(tmp_path / "a.png"), "-q"]
    done = subprocess.run([sys.executable, "-c", CODE, *argv], capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["code"] == 0 and facts["heavy"] == [] and facts["peak_mb"] < 400

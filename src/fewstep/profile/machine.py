"""What figures were taken on: processor, device, driver, versions, commit. Needs nothing but the standard library,
unless a CUDA device is asked about.
"""

import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from fewstep.engine import cores

PACKAGES = ("fewstep", "numpy", "onnxruntime", "torch", "triton", "diffusers", "transformers", "openvino")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
DEFAULT_CACHE = 32 << 20  # bytes, where the machine does not say


def machine(device: str = "cpu") -> dict[str, Any]:
    """One JSON object. device: "cpu" or "cuda", which adds the GPU's own facts."""
    facts: dict[str, Any] = {
        "device": device,
        "cpu": cpu_name(),
        "cores": len(cores.allowed()),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := version(name))},
        "commit": commit(),
    }
    return facts | ({"gpu": gpu()} if device == "cuda" else {})


def cpu_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The checkout's, "-dirty" where files of it have changed; None outside a checkout."""
    return printed("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*")


def gpu() -> dict[str, Any]:
    """The current CUDA device."""
    import torch

    facts = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "name": facts.name,
        "driver": printed("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "arch": f"sm_{facts.major}{facts.minor}",
        "multiprocessors": facts.multi_processor_count,
        "memory_bytes": facts.total_memory,
        "l2_bytes": facts.L2_cache_size,
    }


def cache_bytes(device: str) -> int:
    """The largest cache before the device's memory."""
    if device == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size)
    with suppress(OSError, ValueError):
        sizes = [path.read_text().strip() for path in CACHES.glob("index*/size")]
        return max(int(size.removesuffix("K")) << 10 for size in sizes if size.endswith("K"))
    return DEFAULT_CACHE


def printed(*command: str) -> str | None:
    """The first line of what a command prints, None if it fails or prints nothing."""
    with suppress(OSError):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip().splitlines()[0]
    return None

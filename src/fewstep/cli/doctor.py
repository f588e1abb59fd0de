"""fewstep doctor: versions, devices and backends, what would be used and why."""

import argparse
import json
import platform
from collections.abc import Mapping
from typing import Any

from fewstep.cli.parser import Parser

PACKAGES = (
    "fewstep",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "pillow",
    "safetensors",
    "torch",
    "triton",
    "tensorrt",
)


def add_parser(subparsers: "argparse._SubParsersAction[Parser]") -> None:
    text = "show versions, devices and backends, and what would be used and why"
    parser = subparsers.add_parser("doctor", help=text, description=f"{text.capitalize()}.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    report = examine()
    if args.json:
        print(json.dumps(report))
        return 0
    for section, entries in report.items():
        print(section)
        for name, value in entries.items():
            print(f"  {name:<16} {value if value is not None else '-'}")
    return 0


def examine() -> dict[str, dict[str, Any]]:
    """Everything doctor knows, by section."""
    import onnxruntime

    from fewstep.api import shipped_models
    from fewstep.engine import cores
    from fewstep.engine.device import choose_device, cuda_devices
    from fewstep.profile.machine import cpu_name, version

    device, reason = choose_device()
    quota = cores.quota()
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "machine": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cpu": cpu_name(),
            "logical cpus": len(cores.allowed()),
            "physical cores": cores.physical(cores.allowed()),
            "cpu quota": "none" if quota is None else round(quota, 2),
            "cuda devices": cuda_devices(),
        },
        "backends": {
            "onnxruntime": f"providers {', '.join(onnxruntime.get_available_providers())}",
            "native": native_backend(cuda_devices()),
            "torch": torch_backend({name: version(name) for name in ("torch", "triton")}, cuda_devices()),
        },
        "choice": {
            "backend": "onnxruntime for bundles, native for plans: no other backend runs either",
            "device": f"{device}: {reason}",
            "network": "in stages, of bundles that have them"
            if device == "cpu"
            else "whole: what crosses between stages lies on the host",
            "threads": f"{cores.available()}: one a physical core this process may use, within its quota",
            "fallbacks": "0: the choice is made before anything runs, and a device that fails is an error",
        },
        "models": {name: str(path) for name, path in shipped_models().items()},
    }


def native_backend(devices: int) -> str:
    """What the compiled runtime runs plans with here."""
    from fewstep import _runtime

    gpu = f"{devices} CUDA devices" if devices else "no CUDA device"
    return f"plans on a CPU with {_runtime.isa()}; {gpu}"


def torch_backend(versions: Mapping[str, str | None], devices: int) -> str:
    """What the backend of PyTorch modules can do with these packages and this number of CUDA devices."""
    missing = [name for name, found in versions.items() if found is None]
    if missing:
        return f"not to be had: no {' and no '.join(missing)} (the extra fewstep[cuda] brings both)"
    if devices == 0:
        return "eager; fused and captured need a CUDA device"
    return "eager, fused, and captured as one CUDA graph a request"

"""A plan's file, made in a process that has no CUDA context: python -m benchmarks.gpu.plan_files NAME --folder DIR"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.networks import NETWORKS
from benchmarks.random_network import open_graph, write_graph
from fewstep.compilation import compile_plan
from fewstep.export.families.family import SizeName
from fewstep.export.lower.compile_network import compile_network
from fewstep.export.lower.plan_file import write_plan

MODEL = "toons16"
NAMES = (MODEL, *NETWORKS)
PRECISION = "float16"


def plan_path(folder: Path, name: str, arch: int | None, size: str) -> Path:
    """arch: of the GPU, None for a plan for CPUs."""
    target = "cpu" if arch is None else f"sm{arch}"
    return folder / f"{name}{'-tiny' if size == 'tiny' and name != MODEL else ''}.{target}.fsp"


def make_plan(name: str, folder: Path, arch: int | None, size: SizeName, processes: int | None = None) -> Path:
    """Unless it is there. A network's graph, which takes longest, stays beside its plan; its weights are drawn."""
    path = plan_path(folder, name, arch, size)
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    target: dict[str, Any] = {"device": "cpu"} if arch is None else {"device": "cuda", "architectures": [arch]}
    if name == MODEL:
        architectures = () if arch is None else (arch,)
        device = target["device"]
        compile_plan(MODEL, path, device=device, architectures=architectures, precision=PRECISION, processes=processes)
        return path
    graph = make_graph(name, folder, size)
    plan = compile_network(
        open_graph(graph), sizes={}, target=target, precision=PRECISION, name=name, processes=processes
    )
    write_plan(path, *plan)
    return path


def make_graph(name: str, folder: Path, size: SizeName) -> Path:
    """A network's, unless it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = graph_path(folder, name, size)
    if not path.exists():
        network = NETWORKS[name]
        write_graph(network.make(size, "meta"), network.size(size).inputs("meta"), path)
    return path


def graph_path(folder: Path, name: str, size: SizeName) -> Path:
    return folder / f"{name}-{size}.onnx"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--arch", type=int, help="90 for sm_90; a plan for CPUs without it")
    parser.add_argument("--size", choices=("tiny", "full"), default="full", help="of a network (full)")
    parser.add_argument("--processes", type=int, help="that compile at a time (one a core)")
    parser.add_argument("--graph", action="store_true", help="a network's graph alone, a few megabytes")
    args = parser.parse_args(argv)
    if args.graph and args.name == MODEL:
        parser.error(f"graph: expected one of {', '.join(NETWORKS)}, got {MODEL}")
    size: SizeName = "tiny" if args.size == "tiny" else "full"
    if args.graph:
        print(make_graph(args.name, args.folder, size))
    else:
        print(make_plan(args.name, args.folder, args.arch, size, args.processes))
    return 0


if __name__ == "__main__":
    sys.exit(main())

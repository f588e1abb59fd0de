"""Time and memory of compiling a network of published size, and of one forward: python -m benchmarks.lowering

Each part runs in a process of its own, so that a peak is that part's alone.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.pairing import machine, write_rows

Row = dict[str, Any]
NETWORK, PLAN = "network.onnx", "network.fsp"


class Clock:
    """Since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def row(self) -> Row:
        return {
            "seconds": round(time.perf_counter() - self.wall, 2),
            "cpu_seconds": round(time.process_time() - self.cpu, 2),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }


def export(family: str, size: str, folder: Path) -> Row:
    from benchmarks.random_network import write_denoiser

    clock = Clock()
    write_denoiser(family, "full" if size == "full" else "tiny", folder / NETWORK)
    return clock.row()


def lower(folder: Path, precision: str) -> Row:
    import onnx_ir as ir

    from fewstep.export.lower.compile_network import compile_network
    from fewstep.export.lower.plan_file import write_plan

    clock = Clock()
    model = ir.load(folder / NETWORK)
    program, weights = compile_network(model, sizes={}, target={"device": "cpu"}, precision=precision)
    lowered, clock = clock.row(), Clock()
    write_plan(folder / PLAN, program, weights)
    return {
        "lower": lowered,
        "write": clock.row(),
        "nodes": model.graph.num_nodes(),
        "ops": sum(len(stage.ops) for stage in program.stages),
        "arena_bytes": program.arena,
        "plan_bytes": (folder / PLAN).stat().st_size,
        "passes": list(program.passes),
    }


def run_plan(folder: Path, threads: int, runs: int) -> Row:
    from fewstep._runtime import Program

    clock = Clock()
    program = Program(str(folder / PLAN), threads=threads)
    return _timed(folder / "plan.npy", clock, lambda inputs: program.run(inputs)["m"], folder, runs)


def run_onnxruntime(folder: Path, threads: int, runs: int) -> Row:
    import onnxruntime as ort

    clock = Clock()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(folder / NETWORK), options, providers=["CPUExecutionProvider"])
    return _timed(folder / "onnxruntime.npy", clock, lambda inputs: session.run(None, inputs)[0], folder, runs)


Inputs = dict[str, NDArray[np.float32]]


def _timed(path: Path, opened: Clock, run: Callable[[Inputs], NDArray[Any]], folder: Path, runs: int) -> Row:
    row, inputs, calls = opened.row(), _inputs(folder), []
    for _ in range(runs):
        clock = Clock()
        result = run(inputs)
        calls.append(clock.row())
    np.save(path, result)
    return {"open": row, "runs": calls}


def _inputs(folder: Path) -> Inputs:
    """Normal numbers; the time is the noisiest."""
    import onnx

    rng = np.random.default_rng(0)
    graph = onnx.load(folder / NETWORK, load_external_data=False).graph
    shapes = {given.name: [size.dim_value for size in given.type.tensor_type.shape.dim] for given in graph.input}
    drawn = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    return {**drawn, "tau": np.full(shapes["tau"], 999, np.float32)}


def alone(task: Callable[..., Row], *args: object) -> Row:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(task, *args).result()


def compare(folder: Path, threads: int, runs: int) -> Row:
    rows = {
        "plan": alone(run_plan, folder, threads, runs),
        "onnxruntime": alone(run_onnxruntime, folder, threads, runs),
    }
    found, expected = (np.load(folder / f"{name}.npy").astype(np.float64) for name in rows)
    rms = float(np.sqrt(np.mean(expected**2)))
    error = np.abs(found - expected)
    return {
        **rows,
        "threads": threads,
        "max_over_rms": error.max() / rms,
        "rms_over_rms": np.sqrt(np.mean(error**2)) / rms,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="sd-turbo", help="a family; its denoiser is compiled")
    parser.add_argument("--size", choices=("tiny", "full"), default="full")
    parser.add_argument("--precision", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--folder", type=Path, help="where the network stays, and is taken from if it is there")
    parser.add_argument("--runs", type=int, default=0, help="forwards of the plan and of onnxruntime, compared")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/lowering.local.jsonl"))
    args = parser.parse_args()
    row: Row = {"network": args.network, "size": args.size, "precision": args.precision, "load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / NETWORK).exists():
            row["export"] = alone(export, args.network, args.size, folder)
        row |= alone(lower, folder, args.precision)
        if args.runs:
            row["forward"] = compare(folder, args.threads, args.runs)
    for part in ("lower", "write"):
        print(f"{part}: {row[part]['seconds']} s, {row[part]['cpu_seconds']} of the CPU, {row[part]['peak_mb']} MB")
    if args.runs:
        print(f"largest difference from onnxruntime, over its rms: {row['forward']['max_over_rms']:.1e}")
    write_rows(args.out, [{"machine": machine(args.threads)}, row])


if __name__ == "__main__":
    main()

"""Plans on the C++ runtime against their peers, paired in one run: python -m benchmarks.native

Every peer makes the same pictures, from seeds to uint8, through the same schedule: the runtime on each count of
threads; the onnxruntime backend; onnxruntime in a plain loop; eager PyTorch; OpenVINO where it is installed. Before
anything is timed the pictures must agree within one grey level.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import fewstep
from benchmarks.default_model import Images, Make, openvino_peer, torch_peer
from benchmarks.pairing import interleave, machine, summarise, write_rows
from benchmarks.plan_flop import flop_of
from fewstep.api import open_model
from fewstep.compilation import compile_plan
from fewstep.engine.bundle_manifest import LABELS
from fewstep.engine.job import Job
from fewstep.engine.noise import normal
from fewstep.engine.request import contract_schedule
from fewstep.engine.table import Schedule
from fewstep.export.checkpoint import read_checkpoint

FIRST_PICTURE = """
import json, sys, time
from fewstep import _runtime
import numpy as np
path, threads, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
began = time.perf_counter()
program = _runtime.Program(path, threads=threads)
opened = time.perf_counter()
arrays = {name: np.zeros(shape, dtype) for name, (dtype, shape) in program.inputs.items()}
program.run(arrays, steps, ["images"])
print(json.dumps([opened - began, time.perf_counter() - began]))
"""


def onnxruntime_peer(graph: Path, threads: int) -> Make:
    """The bundle's network in a plain loop, the session's threads inside of each operator."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(graph), options, ["CPUExecutionProvider"])
    side = tuple(session.get_inputs()[0].shape[1:])

    def make(seeds: Sequence[int], labels: NDArray[np.int64], schedule: Schedule) -> Images:
        def network(u: NDArray[np.float32], tau: float) -> NDArray[np.float32]:
            t = np.full(len(u), tau, np.float32)
            out: NDArray[np.float32] = session.run(["F"], {"x": u, "t": t, "labels": labels})[0]
            return out

        x = fewstep.sample(schedule, network, normal(seeds, 0, side), lambda i: normal(seeds, i + 1, side))
        pixels = np.rint((np.clip(x, -1, 1) + 1) * 127.5).astype(np.uint8)
        return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))

    return make


def backend_peer(model: str | Path, backend: str, threads: int | None) -> Make:
    pipe = fewstep.load(model, backend=backend, device="cpu", threads=threads)
    return lambda seeds, labels, schedule: pipe.backend.run(Job(seeds, {LABELS: labels}, schedule))[0]


def peers(model: str, plan: Path, checkpoint: Path, threads: Sequence[int]) -> dict[str, Make]:
    """Name -> maker: ours, on the most threads, first."""
    most = max(threads)
    graph = open_model(model).path / "denoiser.onnx"
    torch.set_num_threads(most)
    made = {f"native-{n}": backend_peer(plan, "native", n) for n in sorted(threads, reverse=True)}
    made["onnxruntime"] = backend_peer(model, "onnxruntime", None)
    for n in threads:
        made[f"onnxruntime-loop-{n}"] = onnxruntime_peer(graph, n)
    made["eager"] = torch_peer(read_checkpoint(checkpoint).network, torch.contiguous_format)
    made["eager-channels-last"] = torch_peer(read_checkpoint(checkpoint).network, torch.channels_last)
    if importlib.util.find_spec("openvino") is not None:
        made["openvino"] = openvino_peer(graph, most)
    return made


def compare(makers: dict[str, Make], model: str, batch: int, steps: int, rounds: int) -> dict[str, Any]:
    manifest = open_model(model).manifest
    schedule = contract_schedule(manifest, steps)
    if not isinstance(schedule, Schedule):
        raise SystemExit(f"{model} uses guidance, which the peers here do not")
    labels = np.array([[i % len(table.values) for table in manifest.labels] for i in range(batch)], np.int64)
    runs = {name: partial(make, list(range(batch)), labels, schedule) for name, make in makers.items()}
    ours = next(iter(runs))
    expected = runs[ours]().astype(int)
    apart = {name: int(np.abs(run().astype(int) - expected).max()) for name, run in runs.items()}
    if wrong := {name: levels for name, levels in apart.items() if levels > 1}:
        raise SystemExit(f"pictures differ from ours by more than one grey level: {wrong}; nothing was timed")
    seconds = interleave(runs, rounds)
    timings = summarise(seconds, ours)
    for name, row in timings.items():
        row["ms_least"] = round(1e3 * min(seconds[name]), 3)

    def best(prefix: str) -> float:
        return min(row["times_ours"] for name, row in timings.items() if name.startswith(prefix))

    return {
        "batch": batch,
        "steps": steps,
        "best_onnxruntime_times_ours": best("onnxruntime"),
        "best_eager_times_ours": best("eager"),
        "grey_levels_apart": apart,
        "peers": timings,
    }


def peak(threads: int) -> float:
    """GFLOP/s of the CPU: the best of PyTorch's float32 product of 1024 x 1024."""
    torch.set_num_threads(threads)
    a = torch.ones(1024, 1024)
    best = 0.0
    for _ in range(20):
        began = time.perf_counter()
        torch.mm(a, a)
        best = max(best, 2 * 1024**3 / (time.perf_counter() - began) / 1e9)
    return best


def first_picture(plan: Path, threads: int, steps: int, runs: int) -> dict[str, Any]:
    """Milliseconds of a fresh process from the plan's path to its kernels, and to the first picture."""
    command = [sys.executable, "-c", FIRST_PICTURE, str(plan), str(threads), str(steps)]
    raw = np.array([json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(runs)])
    opened, made = np.percentile(1e3 * raw, 50, axis=0)
    return {
        "threads": threads,
        "steps": steps,
        "ms_to_open_p50": round(float(opened), 2),
        "ms_to_first_picture_p50": round(float(made), 2),
        "raw_ms": (1e3 * raw).round(2).tolist(),
    }


def measure(args: argparse.Namespace, folder: Path) -> None:
    most = max(args.threads)
    rows: list[dict[str, Any]] = [{"machine": machine(most), "model": args.model, "rounds": args.rounds}]
    for batch in args.batch:
        plan = folder / f"{batch}.fsp"
        compile_plan(args.model, plan, batch=batch)
        makers = peers(args.model, plan, args.checkpoint, args.threads)
        for steps in args.steps:
            row = compare(makers, args.model, batch, steps, args.rounds)
            best = row["peers"][f"native-{most}"]
            flop, roof = flop_of(plan, steps), peak(most)
            row["gflop"] = {kind: round(count / 1e9, 4) for kind, count in flop.items()}
            row["peak_gflops"] = round(roof, 1)
            row["share_of_peak"] = {
                kind: round(count / 1e9 / (best["ms_p50"] * 1e-3) / roof, 3) for kind, count in flop.items()
            }
            rows.append(row)
            figures = "  ".join(
                f"{name} {r['ms_p50']:.2f} ms ({r['times_ours']:.2f}x)" for name, r in row["peers"].items()
            )
            print(f"batch {batch} steps {steps}: {figures}  share of peak {row['share_of_peak']}", flush=True)
        if batch == 1:
            rows.append(first_picture(plan, most, max(args.steps), args.runs))
            print(f"plan to first picture: {rows[-1]['ms_to_first_picture_p50']} ms", flush=True)
        write_rows(args.out, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="toons16")
    parser.add_argument("--checkpoint", type=Path, default=Path("recipes/toons16/checkpoints/toons16"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--runs", type=int, default=7, help="fresh processes")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/native.local.jsonl"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder))


if __name__ == "__main__":
    main()

"""The default model against its peers, paired in one run: python -m benchmarks.default_model

Every peer makes the same pictures, from seeds to uint8, through the same schedule: the engine; eager PyTorch,
contiguous and channels_last; torch.compile; OpenVINO. Before anything is timed the pictures must agree within one grey
level.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import fewstep
from benchmarks.pairing import interleave, machine, summarise, write_rows
from fewstep.api import open_model
from fewstep.engine.bundle_manifest import LABELS
from fewstep.engine.job import Job
from fewstep.engine.noise import normal
from fewstep.engine.request import contract_schedule
from fewstep.engine.table import Schedule
from fewstep.export.checkpoint import read_checkpoint
from fewstep.export.families.trigflow_unet import TrigFlowUNet

Images = NDArray[np.uint8]
Make = Callable[[Sequence[int], NDArray[np.int64], Schedule], Images]
OURS = "fewstep"


def torch_peer(net: TrigFlowUNet, memory_format: torch.memory_format) -> Make:
    """The few-step loop in PyTorch: engine noise in, uint8 out."""
    net.eval().to(memory_format=memory_format)  # type: ignore[call-overload]

    @torch.inference_mode()
    def make(seeds: Sequence[int], labels: NDArray[np.int64], schedule: Schedule) -> Images:
        shape = (3, net.config.image_size, net.config.image_size)
        rows = torch.from_numpy(labels)

        def noise(step: int) -> Tensor:
            return torch.from_numpy(normal(seeds, step, shape)).contiguous(memory_format=memory_format)

        def network(u: Tensor, tau: float) -> Tensor:
            out: Tensor = net(u, torch.full((len(u),), tau), rows)
            return out

        x = fewstep.sample(schedule, network, noise(0), lambda i: noise(i + 1))
        return ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy()

    return make


def openvino_peer(graph: Path, threads: int) -> Make:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.compile_model(str(graph), "CPU", settings).create_infer_request()

    def make(seeds: Sequence[int], labels: NDArray[np.int64], schedule: Schedule) -> Images:
        shape = tuple(request.model_inputs[0].get_partial_shape()[i].get_length() for i in (1, 2, 3))

        def network(u: NDArray[np.float32], tau: float) -> NDArray[np.float32]:
            t = np.full(len(u), tau, np.float32)
            out: NDArray[np.float32] = request.infer({"x": u, "t": t, "labels": labels}, share_inputs=True)["F"].copy()
            return out

        x = fewstep.sample(schedule, network, normal(seeds, 0, shape), lambda i: normal(seeds, i + 1, shape))
        pixels = np.rint((np.clip(x, -1, 1) + 1) * 127.5).astype(np.uint8)
        return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))

    return make


def peers(model: str, checkpoint: Path, threads: int, wanted: Sequence[str]) -> dict[str, Make]:
    """Name -> maker, ours first."""
    pipe = fewstep.load(model, backend="onnxruntime", device="cpu", threads=threads)
    torch.set_num_threads(threads)

    def eager() -> TrigFlowUNet:
        return read_checkpoint(checkpoint).network

    made: dict[str, Make] = {
        OURS: lambda seeds, labels, schedule: pipe.backend.run(Job(seeds, {LABELS: labels}, schedule))[0]
    }
    if "eager" in wanted:
        made["eager"] = torch_peer(eager(), torch.contiguous_format)
        made["eager-channels-last"] = torch_peer(eager(), torch.channels_last)
    if "compile" in wanted:
        net = eager()
        net.compile()
        made["compile"] = torch_peer(net, torch.contiguous_format)
    if "openvino" in wanted:
        made["openvino"] = openvino_peer(open_model(model).path / "denoiser.onnx", threads)
    return made


def compare(makers: dict[str, Make], model: str, batch: int, steps: int, rounds: int) -> dict[str, Any]:
    manifest = open_model(model).manifest
    schedule = contract_schedule(manifest, steps)
    if not isinstance(schedule, Schedule):
        raise SystemExit(f"{model} uses guidance, which the peers here do not")
    labels = np.array([[i % len(table.values) for table in manifest.labels] for i in range(batch)], np.int64)
    seeds = list(range(batch))
    runs = {name: partial(make, seeds, labels, schedule) for name, make in makers.items()}

    expected = runs[OURS]().astype(int)
    apart = {name: int(np.abs(run().astype(int) - expected).max()) for name, run in runs.items()}
    if wrong := {name: levels for name, levels in apart.items() if levels > 1}:
        raise SystemExit(f"pictures differ from ours by more than one grey level: {wrong}; nothing was timed")
    timings = summarise(interleave(runs, rounds), OURS)
    best_eager = min((r["times_ours"] for n, r in timings.items() if n.startswith("eager")), default=math.nan)
    return {
        "batch": batch,
        "steps": steps,
        "best_eager_times_ours": best_eager,
        "grey_levels_apart": apart,
        "peers": timings,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="toons16")
    parser.add_argument("--checkpoint", type=Path, default=Path("recipes/toons16/checkpoints/toons16"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--peers", nargs="*", default=["eager", "compile", "openvino"])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/default_model.local.jsonl"))
    args = parser.parse_args()

    makers = peers(args.model, args.checkpoint, args.threads, args.peers)
    rows: list[dict[str, Any]] = [{"machine": machine(args.threads), "model": args.model, "rounds": args.rounds}]
    for batch in (1, 8):
        for steps in (1, 2, 4):
            row = compare(makers, args.model, batch, steps, args.rounds)
            rows.append(row)
            figures = "  ".join(
                f"{name} {r['ms_p50']:.2f} ms ({r['times_ours']:.2f}x)" for name, r in row["peers"].items()
            )
            print(f"batch {batch} steps {steps}: {figures}", flush=True)
            write_rows(args.out, rows)


if __name__ == "__main__":
    main()

"""How long a LoRA of SDXL's size takes to swap in a loaded plan: python -m benchmarks.lora_swap

The plan has every tensor that the full UNet's plan would leave open, at its shape and in half precision, and the
products that read them, but no weights of the UNet itself: a swap touches none. `runtime` is Program.set_tensors alone:
a check of every number, widening to float32, packing for the products. `face` is set_loras of a file: reading,
checking, resolving its names, scaling, then the runtime's. Nothing is scaled up. A GPU's copy is not measured here.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from benchmarks.pairing import machine, write_rows
from fewstep import _runtime
from fewstep.export.families.build import build
from fewstep.export.lora.module_names import fusible
from fewstep.export.lora.skeleton import attention
from fewstep.export.lower.adapters import factor_shape, tensor_name
from fewstep.export.lower.memory import plan_memory
from fewstep.export.lower.plan_file import write_plan
from fewstep.export.lower.program import Op, Program, Stage, Value
from fewstep.export.lower.weights import Weight
from fewstep.plan_loras import PlanLoras

ROLE, PLAIN = "unet.", {"activation": "", "scale": 1.0, "glu": ""}
Shapes = dict[str, tuple[int, ...]]


def targets_of(modules: Shapes) -> list[str]:
    """Attention and the feed-forward layers, which trainers choose."""
    return [*attention(modules), *(name for name in modules if ".ff.net." in name)]


def plan(modules: Shapes, targets: list[str], rank: int) -> tuple[Program, dict[str, Weight]]:
    """up (down x) of one row for each target."""
    values: list[Value] = []
    buffers: list[tuple[int, int]] = []
    weights: dict[str, Weight] = {}
    inputs: dict[str, int] = {}
    ops: list[Op] = []

    def row(size: int) -> int:
        buffers.append((0, 4 * size))
        values.append(Value("f32", (1, size), (size, 1), buffer=len(buffers) - 1))
        return len(values) - 1

    def factor(target: str, which: str) -> int:
        name, (outer, inner) = tensor_name(target, which), factor_shape(modules[target], rank, which)
        weights[name] = Weight("f16", (outer, inner), lambda: np.zeros((outer, inner), np.float16))
        values.append(Value("f16", (inner, outer), (1, inner), weight=name))
        return len(values) - 1

    y = 0
    for target in targets:
        outputs, size = modules[target]
        if f"x{size}" not in inputs:
            inputs[f"x{size}"] = row(size)
        narrow, y = row(rank), row(outputs)
        ops.append(Op("matmul", target, (inputs[f"x{size}"], factor(target, "down")), (narrow,), PLAIN))
        ops.append(Op("matmul", target, (narrow, factor(target, "up")), (y,), PLAIN))
    adapters = {
        "rank": rank,
        "modules": {name: list(shape) for name, shape in modules.items()},
        "targets": {name: {which: tensor_name(name, which) for which in ("down", "up")} for name in targets},
    }
    program = Program(
        target={"device": "cpu"}, precision="float16", model={"name": "swap", "family": "", "bundle": ""}, batch=1,
        arena=0, buffers=buffers, values=values, inputs=inputs, outputs={"y": y},
        stages=[Stage("network", tuple(ops))], adapters=adapters,
    )  # fmt: skip
    return plan_memory(program), weights


def lora_file(path: Path, modules: Shapes, targets: list[str], rank: int) -> None:
    """As kohya's trainer writes it, in half precision."""
    state = {}
    for target in targets:
        stem = f"lora_unet_{target.removeprefix(ROLE).replace('.', '_')}"
        for which, part in (("down", "lora_down"), ("up", "lora_up")):
            shape = factor_shape(modules[target], rank, which)
            state[f"{stem}.{part}.weight"] = (0.01 * torch.randn(shape)).half()
        state[f"{stem}.alpha"] = torch.tensor(float(rank))
    save_file(state, path)


def measure(run: Callable[[], object], runs: int) -> dict[str, Any]:
    """Wall time, and what the processors spent, of all threads together: the machine may be shared."""
    run()
    seconds, spent = [], []
    for _ in range(runs):
        start, before = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - start)
        spent.append(time.process_time() - before)
    shares = {f"ms_p{q}": round(1e3 * float(np.percentile(seconds, q)), 2) for q in (20, 50, 80)}
    cpu = round(1e3 * float(np.median(spent)), 2)
    return {**shares, "cpu_ms": cpu, "raw_ms": [round(1e3 * s, 2) for s in seconds]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/lora_swap.local.jsonl"))
    args = parser.parse_args()
    network: nn.Module = build("sdxl-turbo", "full", "meta").denoiser.get_submodule("unet")
    modules: Shapes = {f"{ROLE}{name}": tuple(weight.shape) for name, weight in fusible(network).items()}
    targets = targets_of(modules)
    with tempfile.TemporaryDirectory() as folder:
        path, file = Path(folder) / "swap.fsp", Path(folder) / "lora.safetensors"
        write_plan(path, *plan(modules, targets, args.rank))
        lora_file(file, modules, targets, args.rank)
        program = _runtime.Program(path, threads=args.threads)
        tensors: dict[str, NDArray[np.uint8]] = {
            name: np.full(shape, 0.01, np.float16).view(np.uint8).reshape(-1)
            for name, (_, shape) in program.tensors.items()
        }
        size = sum(array.nbytes for array in tensors.values())
        source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
        loras = PlanLoras(program)
        rows = {
            "copy": measure(lambda: np.copyto(target, source), args.runs),
            "runtime": measure(lambda: program.set_tensors(tensors), args.runs),
            "face": measure(lambda: loras.set([(str(file), 0.8)]), args.runs),
        }
    told = {"rank": args.rank, "targets": len(targets), "parameters": size // 2, "mb": round(size / 1e6, 1)}
    for name, row in rows.items():
        print(f"{name:8} {row['ms_p50']:8.1f} ms, {row['cpu_ms']:8.1f} ms of processors")
    write_rows(args.out, [{"machine": machine(args.threads)}, {**told, **rows}])


if __name__ == "__main__":
    main()

"""Whole requests of a plan and of its rivals: from arrays of the host to arrays of the host, so that all end alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.gpu.networks import PlanNetwork
from benchmarks.gpu.plan_files import MODEL, graph_path
from benchmarks.gpu.runtime import ROOT
from benchmarks.random_network import write_weights
from fewstep._runtime import Program as Plan
from fewstep.api import load, open_model
from fewstep.engine.backends.session import PROVIDERS
from fewstep.engine.backends.torch.captured import WARM_UPS, Captured
from fewstep.engine.backends.torch.eager import generate
from fewstep.engine.backends.torch.generation import Generation, Input
from fewstep.engine.backends.torch.program import Modules, Program, Shape
from fewstep.engine.bundle_manifest import LABELS
from fewstep.engine.job import Job
from fewstep.engine.request import contract_schedule
from fewstep.engine.table import Schedule
from fewstep.errors import BackendError
from fewstep.export.checkpoint import read_checkpoint
from fewstep.export.families.family import SizeName
from fewstep.profile.family import torch_noise

CHECKPOINT = ROOT / "recipes" / MODEL / "checkpoints" / MODEL
MODE = "reduce-overhead"  # of torch.compile: its own CUDA graphs
PLAN = "plan"
QUICK, SLOW = (PLAN, "eager", "captured", "onnxruntime"), (PLAN, "compiled")
Array = NDArray[Any]


@dataclass(frozen=True)
class Peer:
    """run: a request as its users make it; made: one from the noise that all peers have, to be compared."""

    run: Callable[[], Array]
    made: Callable[[], Array]


Make = Callable[[], Peer]


def network_inputs(network: PlanNetwork, size: SizeName) -> dict[str, Array]:
    values = (x.numpy() for x in network.size(size).inputs("cpu"))
    return dict(zip(("u", "tau", "condition0"), values, strict=True))


def network_peers(
    plan: Plan, network: PlanNetwork, module: nn.Module, size: SizeName, folder: Path, device: str
) -> dict[str, Make]:
    """module: the network with the plan's weights, in the dtype that it is to run in."""
    given = network_inputs(network, size)

    def same(run: Callable[[], Array]) -> Peer:
        return Peer(run, run)

    def compiled() -> Peer:
        torch.compiler.reset()
        return same(partial(forward, torch.compile(module, mode=MODE, dynamic=False), given, module, device))

    return {
        PLAN: lambda: same(lambda: plan.run(given)["m"]),
        "eager": lambda: same(partial(forward, module, given, module, device)),
        "captured": lambda: same(captured_forward(module, given, device)),
        "compiled": compiled,
        "onnxruntime": lambda: same(session_run(graph_path(folder, network.name, size), given, device)),
    }


@torch.inference_mode()
def forward(call: Callable[..., Tensor], given: Mapping[str, Array], module: nn.Module, device: str) -> Array:
    made: Array = call(*_on(device, given, next(module.parameters()).dtype)).float().cpu().numpy()
    return made


def captured_forward(module: nn.Module, given: Mapping[str, Array], device: str) -> Callable[[], Array]:
    """The module as one CUDA graph between copies of its inputs and of its output."""
    if device != "cuda":
        raise BackendError("a CUDA graph needs a GPU")
    dtype = next(module.parameters()).dtype
    with torch.inference_mode():
        inputs = _on(device, given, dtype)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                module(*inputs)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            out = module(*inputs).float()

    @torch.inference_mode()
    def run() -> Array:
        for held, x in zip(inputs, given.values(), strict=True):
            held.copy_(torch.from_numpy(x))
        graph.replay()
        made: Array = out.cpu().numpy()
        return made

    return run


def session_run(graph: Path, given: Mapping[str, Array], device: str) -> Callable[[], Array]:
    import onnxruntime

    provider = PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise BackendError(f"this onnxruntime {onnxruntime.__version__} has no {provider}")
    whole = graph.with_suffix(".weights.onnx")
    if not whole.exists():
        write_weights(graph, whole)
    session = onnxruntime.InferenceSession(str(whole), providers=[provider])
    return lambda: np.asarray(session.run(["m"], dict(given))[0])


def model_inputs(batch: int) -> dict[str, Array]:
    """Of a plan of MODEL: seeds from 0 on, and labels by turns."""
    tables = open_model(MODEL).manifest.labels
    labels = np.array([[i % len(table.values) for table in tables] for i in range(batch)], np.int64)
    return {"seeds": np.arange(batch, dtype=np.int64), "labels": labels}


def model_peers(plan: Plan, steps: int, device: str) -> dict[str, Make]:
    """Pictures uint8 (B, H, W, 3) of MODEL's own schedule."""
    given = model_inputs(plan.batch)
    seeds, labels = list(range(plan.batch)), given["labels"]
    table = contract_schedule(open_model(MODEL).manifest, steps)
    assert isinstance(table, Schedule)

    def eager(generation: Generation) -> Peer:
        draw = torch_noise(generation, len(seeds))

        def pictures(*noise: Any) -> Array:
            made: Array = generate(generation, _labels(labels, device), seeds, table, *noise).cpu().numpy()
            return made

        return Peer(lambda: pictures(draw), pictures)

    def compiled() -> Peer:
        torch.compiler.reset()
        generation = torch_model(device)
        denoiser: Any = torch.compile(generation.denoiser, mode=MODE, dynamic=False)
        return eager(replace(generation, denoiser=Cloned(denoiser)))

    def captured() -> Peer:
        generation = torch_model(device)
        modules = Modules(generation.prompt, generation.denoiser, generation.decoder)
        program = Program(generation, modules, Shape.of(len(seeds), table))
        program.load(seeds, _labels(labels, device), table)
        graph = Captured(program)

        def run() -> Array:
            program.load(seeds, _labels(labels, device), table)
            graph.run()
            made: Array = program.result().cpu().numpy()
            return made

        return Peer(run, run)

    def onnxruntime() -> Peer:
        backend: Any = load(MODEL, backend="onnxruntime", device=device).backend

        def run() -> Array:
            made: Array = backend.run(Job(seeds, {LABELS: labels}, table))[0]
            return made

        return Peer(run, run)

    def own() -> Peer:
        def run() -> Array:
            return plan.run(given, steps, ["images"])["images"]

        return Peer(run, run)

    makers = {"eager": lambda: eager(torch_model(device)), "captured": captured, "compiled": compiled}
    return {PLAN: own, **makers, "onnxruntime": onnxruntime}


class Conditions(nn.Module):
    def forward(self, labels: Tensor) -> tuple[Tensor]:
        return (labels,)


class Cloned(nn.Module):
    """torch.compile's own graphs write the next call's result over the last one's."""

    def __init__(self, call: Callable[..., Tensor]) -> None:
        super().__init__()
        self._call = call

    def forward(self, *args: Tensor) -> Tensor:
        return self._call(*args).clone()


def torch_model(device: str) -> Generation:
    """MODEL's network in half precision but for its angles."""
    manifest = open_model(MODEL).manifest
    net = read_checkpoint(CHECKPOINT).network.eval().to(device)
    dtype = torch.float16
    frequencies = net.frequencies
    net.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.frequencies = frequencies
    net.time_in.register_forward_pre_hook(lambda module, args: (args[0].to(dtype),))
    high = max(len(table.values) for table in manifest.labels)
    labels = Input("labels", (len(manifest.labels),), torch.int64, high)
    C, H, W = manifest.state.shape
    parts = (Conditions(), net, nn.Identity())
    return Generation(MODEL, *parts, (labels,), (C, H, W), (H, W), dtype, torch.device(device))


def _labels(labels: Array, device: str) -> dict[str, Tensor]:
    return {"labels": torch.from_numpy(labels).to(device)}


def _on(device: str, given: Mapping[str, Array], dtype: torch.dtype) -> Sequence[Tensor]:
    """u and a condition of numbers in the network's dtype; the time stays float32."""
    tensors = {name: torch.from_numpy(x).to(device) for name, x in given.items()}
    return [x.to(dtype) if x.is_floating_point() and name != "tau" else x for name, x in tensors.items()]

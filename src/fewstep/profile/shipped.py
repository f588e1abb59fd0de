"""The requests of a shipped model on a CPU: the engine, its session in a plain loop, eager PyTorch, torch.compile."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fewstep.api import load, open_model
from fewstep.engine.backends.session import open_session
from fewstep.engine.bundle_manifest import LABELS
from fewstep.engine.cores import available
from fewstep.engine.image import to_uint8
from fewstep.engine.job import Job
from fewstep.engine.noise import normal
from fewstep.engine.request import check_steps, contract_schedule
from fewstep.engine.sampling import sample
from fewstep.engine.table import Schedule
from fewstep.errors import ContractError, InputError
from fewstep.export.checkpoint import read_checkpoint
from fewstep.profile.marks import Marked, Marks, step_names
from fewstep.profile.pipeline import Make, Pictures, Subject

NAMES = ("fewstep", "onnxruntime", "eager", "compiled")
Float = NDArray[np.float32]
Network = Callable[[Float, float], Float]  # u, tau -> m


def shipped_makers(
    model: str,
    marks: Marks,
    *,
    checkpoint: Path,
    images: int = 1,
    steps: int | None = None,
    threads: int | None = None,
    names: tuple[str, ...] = NAMES,
) -> dict[str, Make]:
    """Makers by peer. checkpoint: the folder that the model was exported from, which PyTorch's peers run.

    fewstep is the engine as it is, images side by side on threads; the others run all images as one batch.
    """
    manifest = open_model(model).manifest
    table = contract_schedule(manifest, check_steps(manifest, steps))
    if not isinstance(table, Schedule):
        raise ContractError(f"{model} uses guidance, which the peers of this profile do not")
    if not checkpoint.is_dir() and {"eager", "compiled"} & set(names):
        raise InputError(
            f"checkpoint: expected the folder {model} was exported from, got {checkpoint}; see --checkpoint"
        )
    labels = np.array([[i % len(label.values) for label in manifest.labels] for i in range(images)], np.int64)
    count = available() if threads is None else threads
    loop = partial(_loop, table=table, shape=tuple(manifest.state.shape), images=images, marks=marks)
    makers: dict[str, Make] = {
        "fewstep": lambda: engine(model, labels, table, count),
        "onnxruntime": lambda: loop(session_network(model, labels, count)),
        "eager": lambda: loop(torch_network(checkpoint, labels, count)),
        "compiled": lambda: loop(torch_network(checkpoint, labels, count, compiled=True)),
    }
    return {name: makers[name] for name in names}


def engine(model: str, labels: NDArray[np.int64], table: Schedule, threads: int) -> Subject:
    """Its own timings: a step holds the step's noise and update."""
    pipe = load(model, backend="onnxruntime", device="cpu", threads=threads)
    last: dict[str, float] = {}

    def run() -> Pictures:
        images, timings = pipe.backend.run(Job(range(len(labels)), {LABELS: labels}, table))
        last.update({f"step {i + 1}": ms / 1e3 for i, ms in enumerate(timings.denoise)})
        last["bytes"] = timings.decode / 1e3
        return images

    return Subject(run, run, lambda: dict(last))


def session_network(model: str, labels: NDArray[np.int64], threads: int) -> Network:
    bundle = open_model(model)
    session = open_session(bundle, "denoiser", "cpu", threads)
    names = [tensor.name for tensor in bundle.manifest.components["denoiser"].inputs]

    def network(u: Float, tau: float) -> Float:
        values = (u.astype(np.float32, copy=False), np.full(len(u), tau, np.float32), labels)
        out: Float = session.run(None, dict(zip(names, values, strict=True)))[0]
        return out

    return network


def torch_network(checkpoint: Path, labels: NDArray[np.int64], threads: int, compiled: bool = False) -> Network:
    torch.set_num_threads(threads)
    module = read_checkpoint(checkpoint).network.eval()
    if compiled:
        torch.compiler.reset()
        module.compile(dynamic=False)
    rows = torch.from_numpy(labels)

    @torch.inference_mode()
    def network(u: Float, tau: float) -> Float:
        out: Float = module(torch.from_numpy(u), torch.full((len(u),), tau), rows).numpy()
        return out

    return network


def _loop(network: Network, table: Schedule, shape: tuple[int, ...], images: int, marks: Marks) -> Subject:
    """The few-step loop around a network, the engine's noise in, bytes out."""
    marked: Any = Marked(network, marks, step_names(len(table)))
    seeds = range(images)

    def run() -> Pictures:
        x = sample(table, marked, normal(seeds, 0, shape), lambda i: normal(seeds, i + 1, shape))
        marks.mark(f"update {len(table)}")
        return to_uint8(x)

    return Subject(run, run)

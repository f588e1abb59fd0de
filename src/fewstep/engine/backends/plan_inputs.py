"""What a plan is given of a job beside its conditions: seeds, or the states that begin and steer its loop."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.job import Job
from fewstep.engine.picture_levels import kept_levels
from fewstep.errors import ContractError

Array = NDArray[np.float32]
OF_SEEDS = "this plan begins with noise of seeds; compile it with --noise input or --edit, or load the bundle"


def check_start(inputs: Mapping[str, object], job: Job) -> None:
    """Raises ContractError for a start that a plan with these inputs cannot make, saying which plan can."""
    start = job.start
    if "state" not in inputs and (start.noise is not None or start.latents is not None):
        raise ContractError(OF_SEEDS)
    if "picture" not in inputs and start.mask is not None:
        raise ContractError("mask: this plan keeps nothing of a picture; compile it with --edit, or load the bundle")


def start_inputs(
    inputs: Mapping[str, tuple[str, tuple[int, ...]]], job: Job, rows: Sequence[int]
) -> dict[str, NDArray[Any]]:
    """By name, for the images `rows` of a job, one for each image of the plan's batch.

    inputs: the plan's own, name -> dtype and shape. Raises ContractError for a first row that needs the one before it.
    """
    if "state" not in inputs:
        return {"seeds": np.array([job.seeds[i] for i in rows], np.uint64).view(np.int64)}
    table, start = job.table, job.start
    _, (steps, _, *shape) = inputs["noise"]
    streams = [job.noise(i, shape) for i in rows]

    def drawn(step: int) -> Array:
        return np.concatenate([stream(step) for stream in streams])

    latents = None if start.latents is None else start.latents[rows]
    z_0, noise = drawn(0), np.zeros((steps, len(rows), *shape), np.float32)
    for i in range(start.first, len(table)):
        if table.c[i]:
            noise[i] = drawn(i + 1)
    given: dict[str, NDArray[Any]] = {"state": _joined(start.levels(table), z_0, latents), "noise": noise}
    if "picture" not in inputs:
        return given
    known, mask = np.zeros_like(noise), np.ones((len(rows), 1, *shape[1:]), np.float32)
    if start.mask is not None:
        mask = start.mask[rows]
        for i in range(start.first, len(table)):
            known[i] = _joined(kept_levels(table, i), z_0, latents)
    return {**given, "picture_mask": mask, "picture": known}


def _joined(levels: tuple[float, float], z_0: Array, latents: Array | None) -> Array:
    """alpha * latents + sigma * z_0."""
    alpha, sigma = map(np.float32, levels)
    return sigma * z_0 if latents is None else sigma * z_0 + alpha * latents

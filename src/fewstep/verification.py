"""How far a plan is from its bundle: what `fewstep verify` measures and writes into the plan as its certificate.

The same seeds and labels are run by the plan and by other backends, through the same schedule. Errors are of the
latents, the state that the decoder is given, over the rms of the other backend's; images are compared as bytes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewstep.api import open_model
from fewstep.engine.backends.native import NativeBackend
from fewstep.engine.backends.session import open_session
from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import LABELS
from fewstep.engine.checks import whole
from fewstep.engine.image import to_uint8
from fewstep.engine.job import Job
from fewstep.engine.noise import normal
from fewstep.engine.request import contract_schedule, drawn_value
from fewstep.engine.sampling import sample
from fewstep.engine.table import Schedule
from fewstep.errors import ContractError, InputError

Array = NDArray[np.float32]
Network = Callable[[Array, float], Array]  # u, tau -> m
Made = tuple[Array, NDArray[np.uint8]]  # latents, images
MAX_SEEDS = 10_000


@dataclass(frozen=True)
class Errors:
    """max, rms: of the latents, relative to their rms. psnr: of the images, dB, None where they are equal."""

    max: float
    rms: float
    psnr: float | None
    levels: int


@dataclass(frozen=True)
class Certificate:
    """against: backend -> version; errors: backend -> step count -> Errors."""

    against: Mapping[str, str]
    seeds: Sequence[int]
    errors: Mapping[str, Mapping[int, Errors]]

    @property
    def worst(self) -> float:
        return max(error.max for counts in self.errors.values() for error in counts.values())

    def as_dict(self) -> dict[str, Any]:
        errors = {
            name: {str(steps): vars(error) for steps, error in counts.items()} for name, counts in self.errors.items()
        }
        return {"against": dict(self.against), "seeds": list(self.seeds), "errors": errors}


def verify(
    plan: str | Path,
    bundle: str | Path,
    *,
    device: str = "auto",
    seeds: int = 8,
    checkpoint: Path | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Certificate:
    """Run both. checkpoint: the folder the bundle was exported from; with it PyTorch is compared with too.

    Raises PlanError, BundleError, InputError where the plan was compiled from another bundle, DeviceError.
    """
    count = whole("seeds", seeds, 1, MAX_SEEDS)
    source = open_model(bundle)
    native = NativeBackend(plan, device=device)
    if native.model.bundle != source.digest:
        raise InputError(
            f"{plan} was compiled from the bundle with digest {native.model.bundle}, got {source.path} with "
            f"{source.digest}; compile it anew, or name the bundle it was compiled from"
        )
    rows = np.array(
        [[drawn_value(seed, i, len(t.values)) for i, t in enumerate(native.model.labels)] for seed in range(count)],
        np.int64,
    ).reshape(count, len(native.model.labels))
    networks, against = _networks(source, rows, checkpoint)
    errors: dict[str, dict[int, Errors]] = {name: {} for name in networks}
    for steps in sorted(native.program.counts):
        table = contract_schedule(source.manifest, steps)
        if not isinstance(table, Schedule):
            raise ContractError(f"{source.manifest.name} is guided; expected a model whose network runs once a step")
        made = native.generate(Job(range(count), {LABELS: rows}, table))
        for name, network in networks.items():
            errors[name][steps] = compare(made, _generate(source, network, table, count))
            if progress is not None:
                progress(name, steps)
    return Certificate(against, tuple(range(count)), errors)


def compare(made: Made, wanted: Made) -> Errors:
    """The errors of `made`: latents (n, ...) and images uint8 (n, H, W, 3)."""
    difference = made[0].astype(np.float64) - wanted[0]
    scale = math.sqrt(float(np.mean(np.square(wanted[0], dtype=np.float64)))) or 1.0
    levels = np.abs(made[1].astype(int) - wanted[1])
    mean_square = float(np.mean(np.square(levels)))
    return Errors(
        max=float(np.abs(difference).max()) / scale,
        rms=math.sqrt(float(np.mean(np.square(difference)))) / scale,
        psnr=10 * math.log10(255**2 / mean_square) if mean_square else None,
        levels=int(levels.max()),
    )


def _networks(
    bundle: Bundle, rows: NDArray[np.int64], checkpoint: Path | None
) -> tuple[dict[str, Network], dict[str, str]]:
    import onnxruntime

    session = open_session(bundle, "denoiser", "cpu", 1)
    names = [tensor.name for tensor in bundle.manifest.components["denoiser"].inputs]

    def run(u: Array, tau: float) -> Array:
        values = (u, np.full(len(u), tau, np.float32), rows)
        out: Array = session.run(None, dict(zip(names, values, strict=False)))[0]
        return out

    networks: dict[str, Network] = {"onnxruntime": run}
    against = {"onnxruntime": onnxruntime.__version__}
    if checkpoint is not None:
        import torch

        from fewstep.profile.shipped import torch_network

        networks["torch"] = torch_network(checkpoint, rows, torch.get_num_threads())
        against["torch"] = torch.__version__
    return networks, against


def _generate(bundle: Bundle, network: Network, table: Schedule, count: int) -> Made:
    manifest, seeds = bundle.manifest, range(count)
    shape = tuple(manifest.state.shape)
    latents = sample(table, network, normal(seeds, 0, shape), lambda i: normal(seeds, i + 1, shape))
    latents = np.asarray(latents, np.float32)
    latent, image = manifest.latent, manifest.image
    pixels = latents / np.float32(latent.scaling_factor) + np.float32(latent.shift_factor)
    return latents, to_uint8(pixels, *image.range)

"""From a checkpoint to a bundle."""

import os
from dataclasses import dataclass

import torch
from torch import Tensor

from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import DENOISER, StateSpec
from fewstep.engine.checks import choice, refuse
from fewstep.engine.reading.manifest_reader import FILE
from fewstep.export.bundle import new_bundle
from fewstep.export.checkpoint import read_checkpoint
from fewstep.export.component import BATCHES, make_component
from fewstep.export.config import CONTRACT
from fewstep.export.families.trigflow_unet import TrigFlowUNet
from fewstep.export.staging.report import Saving, bundle_saving
from fewstep.export.staging.stage_files import STAGE_FILES
from fewstep.export.weights import STORED

FAMILY = "trigflow-unet"
GRAPH, WEIGHTS = "denoiser.onnx", "denoiser.safetensors"


@dataclass(frozen=True)
class Export:
    """relative_error: of the graph in onnxruntime to the PyTorch network of the stored weights, max over max.

    saving: what its stages take out of the loop.
    """

    bundle: Bundle
    dtype: str
    relative_error: float
    saving: Saving | None


def export_checkpoint(
    path: str | os.PathLike[str], out: str | os.PathLike[str], *, dtype: str = "fp16", overwrite: bool = False
) -> Export:
    """Exports the checkpoint `path` to the bundle folder `out`.

    dtype: how large weights are stored, "fp16" or "fp32"; either is computed with in float32. The same checkpoint gives
    the same bytes. Raises InputError for a wrong checkpoint, OutputError if `out` cannot be written, BackendError if
    the graph does not compute what the network does.
    """
    choice("dtype", dtype, STORED)
    with new_bundle(out, overwrite=overwrite) as folder:
        checkpoint = read_checkpoint(path)
        if clash := {GRAPH, WEIGHTS, FILE, *STAGE_FILES.values()} & checkpoint.files.keys():
            raise refuse(f"{CONTRACT}: include", "other names than those of the bundle's own files", sorted(clash))
        network = checkpoint.network
        made = make_component(folder, DENOISER, network, [example(network, B) for B in BATCHES], ["F"], dtype=dtype)
        for name, data in checkpoint.files.items():
            folder.write(name, [data])
        side = network.config.image_size
        bundle = folder.finish(checkpoint.contract, FAMILY, StateSpec((3, side, side)), {DENOISER: made.component})
    return Export(bundle, dtype, made.relative_error, bundle_saving(bundle, DENOISER))


def example(network: TrigFlowUNet, B: int) -> dict[str, Tensor]:
    """Inputs x: (B, 3, H, W), t: (B,) over its range, labels: (B, L), the same each time."""
    generator = torch.Generator().manual_seed(0)
    side = network.config.image_size
    return {
        "x": torch.randn(B, 3, side, side, generator=generator),
        "t": torch.linspace(0, torch.pi / 2, B + 1)[1:],
        "labels": torch.stack([torch.randint(n + 1, (B,), generator=generator) for n in network.config.labels], dim=1),
    }

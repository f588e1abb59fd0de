"""A tiny checkpoint of random weights, for tests of export and of what comes after it."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from fewstep.export.families.trigflow_unet import TrigFlowUNet, TrigFlowUNetConfig

CONFIG = TrigFlowUNetConfig(image_size=16, channels=(8, 16, 24), labels=(3, 2, 4), embedding=32, heads=2)
CONTRACT: dict[str, Any] = {
    "name": "tiny",
    "description": "Random weights; for tests.",
    "license": {"spdx": "CC0-1.0", "file": "LICENSE"},
    "latent": {"scaling_factor": 1.0, "shift_factor": 0.0},
    "image": {"width": 16, "height": 16, "channels": 3, "range": [-1, 1]},
    "labels": [
        {"name": "class", "values": ["critters", "planets", "moods"], "null": 3},
        {"name": "background", "values": ["blue", "white"], "null": 2},
        {"name": "color", "values": ["red", "green", "blue", "white"], "null": 4},
    ],
    "schedule": {
        "name": "trigflow",
        "default_steps": 2,
        "guidance": 1.0,
        "steps": {"1": {"times": [math.pi / 2]}, "2": {"times": [math.pi / 2, 1.1]}},
    },
    "include": ["README.md"],
}


def tiny_network(seed: int = 0) -> TrigFlowUNet:
    """Weights of a trained scale, biases too, and exact in fp16; nothing is left at zero."""
    generator = torch.Generator().manual_seed(seed)
    network = TrigFlowUNet(CONFIG)
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            scale = 1 / math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 0.1
            offset = float(isinstance(module, nn.GroupNorm) and name == "weight")
            values = offset + scale * torch.randn(parameter.shape, generator=generator)
            parameter.data = values.half().float()
    return network.eval()


def write_checkpoint(folder: Path, **contract: Any) -> Path:
    """Writes a whole checkpoint folder; keywords replace parts of its contract."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: values.half() for name, values in tiny_network().state_dict().items()}
    save_file(state, folder / "model.safetensors")
    config = {"_class_name": "TrigFlowUNet", **asdict(CONFIG)}
    for name, document in (("config.json", config), ("contract.json", {**CONTRACT, **contract})):
        (folder / name).write_text(json.dumps(document, indent=2))
    (folder / "LICENSE").write_text("CC0 1.0 Universal\n")
    (folder / "README.md").write_text("# tiny\n")
    return folder


def write_tiny_bundle(folder: Path) -> Path:
    """Exports the tiny checkpoint to folder/tiny and returns that; takes some seconds."""
    from fewstep.export.export import export_checkpoint

    return export_checkpoint(write_checkpoint(folder / "checkpoint"), folder / "tiny").bundle.path

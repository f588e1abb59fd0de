"""A folder of diffusers at published size with random fp16 weights, written a tensor at a time."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.random_network import random_weight
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.family import Network

PIPELINE = "StableDiffusionXLPipeline"
SCHEDULER = {
    "_class_name": "EulerAncestralDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "prediction_type": "epsilon",
    "steps_offset": 1, "timestep_spacing": "trailing",
}  # fmt: skip
LETTERS = "abcdefghijklmnopqrstuvwxyz"
FILES = {"diffusers": "diffusion_pytorch_model.safetensors", "transformers": "model.safetensors"}


def write_sdxl(folder: Path, size: str) -> None:
    """SDXL-Turbo's networks, "full" or "tiny", with a tokenizer of letters."""
    index: dict[str, Any] = {"_class_name": PIPELINE, "scheduler": ["diffusers", SCHEDULER["_class_name"]]}
    networks = FAMILIES["sdxl-turbo"].size("full" if size == "full" else "tiny").networks
    for role, network in networks.items():
        index[role] = [network.library, network.kind]
        _write_network(folder / role, network)
    for role in ("tokenizer", "tokenizer_2"):
        index[role] = ["transformers", "CLIPTokenizer"]
        _write_tokenizer(folder / role)
    _write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    _write_json(folder / "model_index.json", index)


def _write_network(folder: Path, network: Network) -> None:
    _write_json(folder / "config.json", {"_class_name": network.kind, **network.config})
    with torch.device("meta"):
        state = network.make().state_dict()
    floats = {name: value for name, value in state.items() if value.is_floating_point()}
    with open(folder / FILES[network.library], "wb") as file:
        file.write(_header(floats))
        for name, value in floats.items():
            file.write(random_weight(name, value.shape).astype(np.float16).tobytes())


def _header(tensors: Mapping[str, Tensor]) -> bytes:
    entries, end = {}, 0
    for name, value in tensors.items():
        begin, end = end, end + 2 * value.numel()
        entries[name] = {"dtype": "F16", "shape": list(value.shape), "data_offsets": [begin, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write_tokenizer(folder: Path) -> None:
    words = ["!", *LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    _write_json(folder / "vocab.json", {word: i for i, word in enumerate(words)})
    (folder / "merges.txt").write_text("#version: 0.2\n")
    told = {"tokenizer_class": "CLIPTokenizer", "pad_token": "!", "model_max_length": 77}
    _write_json(folder / "tokenizer_config.json", told)


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))

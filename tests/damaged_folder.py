"""Ways to damage a folder of diffusers."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

from published_folders import change
from safetensors.torch import load_file, save_file
from torch import Tensor

Break = Callable[[Path], object]
INDEX = "model_index.json"
UNET = Path("unet") / "diffusion_pytorch_model.safetensors"
TEXT = Path("text_encoder") / "model.safetensors"
SHARDS = Path("unet") / "diffusion_pytorch_model.safetensors.index.json"
CONFIG = Path("unet") / "config.json"


def weights(file: Path, edit: Callable[[dict[str, Tensor]], object]) -> Break:
    def damage(path: Path) -> None:
        state = load_file(path / file)
        edit(state)
        save_file(state, path / file, {"format": "pt"})

    return damage


def put(name: str, make: Callable[[Tensor], Tensor], file: Path = UNET) -> Break:
    return weights(file, lambda state: state.__setitem__(name, make(state[name])))


def written(file: str | Path, data: bytes) -> Break:
    def damage(path: Path) -> None:
        (path / file).parent.mkdir(exist_ok=True)
        (path / file).write_bytes(data)

    return damage


def both(first: Break, second: Break) -> Break:
    def damage(path: Path) -> None:
        first(path)
        second(path)

    return damage


def changed(file: str | Path, **changes: object) -> Break:
    return lambda path: change(path / file, **changes)


def replaced(file: Path, make: Callable[[Path], object]) -> Break:
    def damage(path: Path) -> None:
        (path / file).unlink()
        make(path / file)

    return damage


def cut(file: Path) -> Break:
    return lambda path: (path / file).write_bytes((path / file).read_bytes()[:-100])


def moved(file: Path, to: str) -> Break:
    return lambda path: (path / file).rename((path / file).parent / to)


def shard_elsewhere(name: str) -> Break:
    def damage(path: Path) -> None:
        places = json.loads((path / SHARDS).read_text())["weight_map"]
        change(path / SHARDS, weight_map=places | {"conv_in.weight": name})

    return damage


def first_shard(path: Path) -> Path:
    return sorted(path.glob("unet/*-00001-of-*.safetensors"))[0]


def header(entries: object) -> bytes:
    data = json.dumps(entries).encode()
    return struct.pack("<Q", len(data)) + data


def damaged(saved: Path, tmp_path: Path, layout: str, damage: Break) -> Path:
    path = tmp_path / "checkpoint"
    for file in (saved / layout).rglob("*"):
        if file.is_file():
            copy = path / file.relative_to(saved / layout)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    damage(path)
    return path

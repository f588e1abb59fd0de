"""A LoRA file as it is written: a safetensors file of factors, checked as a stranger's."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

from torch import Tensor

from fewstep.engine.checks import refuse
from fewstep.engine.reading import safetensors_header
from fewstep.engine.reading.safetensors_header import read_container
from fewstep.errors import InputError
from fewstep.export.checkpoint import PICKLES, refuse_pickle
from fewstep.export.checkpoints.files import DTYPES, map_file, view
from fewstep.export.lora.adapter_config import AdapterConfig, read_adapter_config
from fewstep.export.lora.keys import SUPPORTED, Key, Part, read_key

MAX_HEADER = 1 << 23  # trainers write what they learned from into it
MAX_TENSORS = 1 << 14  # SDXL's, of every layer with alphas, has about 3000
NAMED = 5  # of the keys that are wrong
ZIP = b"PK\x03\x04"  # what files of torch.save begin with
RANKS = (2, 4)  # of the factors of linear layers and of convolutions


@dataclass(frozen=True)
class Update:
    """key: what its keys begin with; roles: networks it may be of; module: its name, flattened. alpha: r if unsaid.

    down: (r, I) or (r, I, kH, kW); up: (O, r) or (O, r, 1, 1).
    """

    key: str
    roles: tuple[str, ...]
    module: str
    down: Tensor
    up: Tensor
    alpha: float


@dataclass(frozen=True)
class LoraFile:
    name: str
    updates: tuple[Update, ...]


def read_lora_file(path: str | os.PathLike[str]) -> LoraFile:
    """The updates of a file, by key; their factors stay in it until they are used, so it must stay as it is.

    Raises InputError naming the file and the key that is wrong.
    """
    given = Path(path)
    way_out = f"{given.stem}.safetensors"
    if given.suffix in PICKLES:
        raise refuse_pickle(given.name, way_out)
    data = map_file(given, given.name)
    if data[:4] == ZIP:
        raise refuse_pickle(given.name, way_out)
    metadata, tensors = read_container(data, given.name, MAX_HEADER, MAX_TENSORS)
    try:
        grouped = _grouped(tensors)
        config = read_adapter_config(metadata, given.name)
        updates = tuple(_update(parts, data, config) for _, parts in sorted(grouped.items()))
    except InputError as error:
        raise InputError(f"{given.name}: {str(error).removeprefix(f'{given.name}: ')}") from error
    return LoraFile(given.name, updates)


Parts = dict[Part, tuple[Key, safetensors_header.Tensor]]


def _grouped(tensors: Iterable[safetensors_header.Tensor]) -> dict[str, Parts]:
    """The tensors of each update, by stem."""
    out: dict[str, Parts] = {}
    unknown: list[str] = []
    for tensor in tensors:
        key = read_key(tensor.name)
        if key is None:
            unknown.append(tensor.name)
            continue
        parts = out.setdefault(key.stem, {})
        if key.part in parts:
            raise InputError(f"{key.stem} has two of {key.part}: {parts[key.part][1].name} and {tensor.name}")
        parts[key.part] = (key, tensor)
    if unknown:
        raise InputError(
            f"{len(unknown)} keys are of no style of LoRA that is known: {', '.join(sorted(unknown)[:NAMED])}; "
            f"fewstep reads {SUPPORTED}, as kohya, PEFT and diffusers name them"
        )
    if not out:
        raise InputError(f"it holds no tensor; expected {SUPPORTED}")
    return out


def _update(parts: Parts, data: mmap, config: AdapterConfig | None) -> Update:
    key, _ = next(iter(parts.values()))
    if missing := {"down", "up"} - parts.keys():
        raise InputError(f"{key.stem} has no {' and no '.join(sorted(missing))}, but {parts_named(parts)}")
    down, up = (_values(parts[part][1], data) for part in ("down", "up"))
    rank = down.shape[0]
    if up.shape[1] != rank:
        names = parts_named(parts)
        raise InputError(
            f"{key.stem}: {names}: expected (r, ...) and (..., r), got {tuple(down.shape)} and {tuple(up.shape)}"
        )
    if any(n != 1 for n in up.shape[2:]):
        raise refuse(parts["up"][1].name, "shape (..., r) or (..., r, 1, 1)", tuple(up.shape))
    alpha = float(rank)
    stated = None if config is None else config.alpha(key.stem)
    if "alpha" in parts:
        if stated is not None:
            raise InputError(f"{parts['alpha'][1].name} and the file's metadata both give an alpha; expected one")
        alpha = _scalar(parts["alpha"][1], data)
    elif stated is not None:
        alpha = stated
    return Update(key.stem, key.roles, key.module, down, up, alpha)


def parts_named(parts: Parts) -> str:
    return (
        " and ".join(tensor.name for part, (_, tensor) in sorted(parts.items()) if part != "alpha") or "an alpha alone"
    )


def _values(tensor: safetensors_header.Tensor, data: mmap) -> Tensor:
    if len(tensor.shape) not in RANKS:
        raise refuse(f"{tensor.name}: shape", "2 axes, or 4 of a convolution", tensor.shape)
    if 0 in tensor.shape:
        raise refuse(f"{tensor.name}: shape", "a rank and sizes of 1 or more", tensor.shape)
    values = _view(tensor, data)
    if not values.isfinite().all():
        raise refuse(tensor.name, "finite values", f"{int((~values.isfinite()).sum())} NaN or infinite ones")
    return values


def _scalar(tensor: safetensors_header.Tensor, data: mmap) -> float:
    if tensor.shape not in ((), (1,)):
        raise refuse(f"{tensor.name}: shape", "a scalar", tensor.shape)
    value = _view(tensor, data).reshape(())
    if not value.isfinite():
        raise refuse(tensor.name, "a finite number", value.item())
    return float(value)


def _view(tensor: safetensors_header.Tensor, data: mmap) -> Tensor:
    if tensor.dtype not in DTYPES:
        raise refuse(f"{tensor.name}: dtype", ", ".join(DTYPES), tensor.dtype)
    return view(data, tensor.offset, tensor.shape, DTYPES[tensor.dtype])

"""Files of a checkpoint, read through links as Hugging Face's cache has them; what is opened is a regular file."""

import os
import stat
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewstep.engine.checks import refuse
from fewstep.engine.reading import strict_json
from fewstep.engine.reading.fields import json_object
from fewstep.engine.reading.safetensors_header import read_container
from fewstep.errors import InputError
from fewstep.export.checkpoint import PICKLES

MAX_JSON = 1 << 22
MAX_HEADER = 1 << 24
DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
LFS_POINTER = b"version https://git-lfs"
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def read_json(path: Path, name: str) -> dict[str, Any]:
    """The object in a JSON file. Raises InputError naming `name`."""
    descriptor, size = _open(path, name)
    try:
        if size > MAX_JSON:
            raise InputError(f"{name}: expected at most {MAX_JSON} bytes, got {size}")
        data = os.read(descriptor, size + 1)
    finally:
        os.close(descriptor)
    return json_object(name, strict_json.loads(data, name, MAX_JSON))


def map_tensors(path: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file on the CPU, in its own pages: nothing is read before it is used.

    What is written to them stays in memory and reaches neither the file nor another mapping of it. What is no float of
    16 or 32 bits is on the device "meta", with its shape. Raises InputError for a file that is damaged.
    """
    return tensors_in(map_file(path, name), name)


def tensors_in(data: mmap, name: str) -> dict[str, Tensor]:
    """The same of a file that is mapped."""
    try:
        _, entries = read_container(data, name, MAX_HEADER)
    except InputError as error:
        raise InputError(f"{error}; the file is damaged or not whole: fetch it again") from error
    return {
        entry.name: view(data, entry.offset, entry.shape, DTYPES[entry.dtype])
        if entry.dtype in DTYPES
        else torch.empty(entry.shape, dtype=_dtype(entry.dtype), device="meta")
        for entry in entries
    }


def map_file(path: Path, name: str) -> mmap:
    """The bytes of a safetensors file, in its own pages; it has to stay as it is while they are in use."""
    descriptor, size = _open(path, name)
    try:
        if size < 8:
            raise refuse(name, "a safetensors file", f"{size} bytes")
        data = mmap(descriptor, size, access=ACCESS_COPY)
    except OSError as error:
        raise InputError(f"{name}: {size} bytes cannot be mapped: {_reason(error)}") from error
    finally:
        os.close(descriptor)
    if data[: len(LFS_POINTER)] == LFS_POINTER:
        raise InputError(f"{name}: it is a pointer of Git LFS and not the file; fetch that by `git lfs pull`")
    return data


def view(data: mmap, offset: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """The tensor at that byte, in the file's pages where its address is a multiple of its items' size."""
    count = int(torch.Size(shape).numel())
    if not count:
        return torch.empty(shape, dtype=dtype)
    if offset % dtype.itemsize:  # older writers did not align the data
        return torch.frombuffer(bytearray(data[offset : offset + count * dtype.itemsize]), dtype=dtype).view(shape)
    return torch.frombuffer(data, dtype=dtype, count=count, offset=offset).view(shape)


def check_folder(path: Path, name: str) -> None:
    """Raises InputError unless there is a folder."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be opened: {_reason(error)}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise InputError(f"{name}: expected a folder, got a file")


def exists(path: Path) -> bool:
    """Whether there is a file or a link of that name, even one that leads nowhere."""
    return os.path.lexists(path)


def refuse_pickles(path: Path, name: str) -> None:
    """Raises InputError, with the way out, if the file is one, or if one lies in the folder."""
    names = sorted(os.listdir(path)) if path.is_dir() else [path.name]
    for found in names:
        if Path(found).suffix in PICKLES:
            shown = f"{name}/{found}" if path.is_dir() else name
            raise InputError(
                f"{shown} is a pickle, which can run any program when it is read, so fewstep reads none; "
                "save its state dict with safetensors.torch.save_file, or fetch the checkpoint's .safetensors files"
            )


def _open(path: Path, name: str) -> tuple[int, int]:
    """A descriptor of a regular file and its size."""
    try:
        descriptor = os.open(path, _READ)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be opened: {_reason(error)}") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise InputError(f"{name}: expected a regular file, got a folder, device, pipe or socket")
    return descriptor, found.st_size


def _dtype(name: str) -> torch.dtype:
    return {
        "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "F8_E4M3": torch.float8_e4m3fn,
        "F8_E5M2": torch.float8_e5m2, "I16": torch.int16, "U16": torch.uint16, "I32": torch.int32, "U32": torch.uint32,
        "I64": torch.int64, "U64": torch.uint64, "F64": torch.float64,
    }[name]  # fmt: skip


def _reason(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()

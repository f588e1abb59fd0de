"""A plan as a file: the safetensors container of docs/plan.md."""

import hashlib
import json
import mmap
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fewstep.engine.checks import refuse
from fewstep.engine.reading.safetensors_header import ITEM_SIZES, METADATA, Tensor, read_container
from fewstep.errors import InputError, OutputError, PlanError
from fewstep.export.lower.plan_json import MAX_PROGRAM, parse_program, program_json
from fewstep.export.lower.program import Program
from fewstep.export.lower.weights import NUMPY, Weight

KEY = "fewstep.plan"
CONTAINER = {"f32": "F32", "f16": "F16", "bf16": "BF16", "i64": "I64", "i32": "I32", "u8": "U8"}
TYPES = {name: type for type, name in CONTAINER.items()}
ALIGNMENT = 64
MAX_HEADER = 2 * MAX_PROGRAM  # the program inside is JSON in a JSON string


def write_plan(path: str | os.PathLike[str], program: Program, weights: Mapping[str, Weight]) -> None:
    """Writes the file so that it is there whole or not at all, one weight in memory at a time.

    Raises OutputError, which leaves what was there before as it was.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            with open(partial, "xb") as file:
                for chunk in _container(program, weights):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error


def certify(path: str | os.PathLike[str], certificate: Mapping[str, Any]) -> None:
    """Writes the certificate (docs/plan.md) into a plan, all else as it was. Raises PlanError or OutputError."""
    program, weights = read_plan(path)
    write_plan(path, replace(program, certificate=certificate), weights)


def _container(program: Program, weights: Mapping[str, Weight]) -> Iterable[bytes | memoryview]:
    """Weights whose bytes are a multiple of 64 come first, so that each of them begins at one, then wider types."""
    sizes = {name: int(np.prod(weight.shape)) * ITEM_SIZES[CONTAINER[weight.type]] for name, weight in weights.items()}
    order = sorted(
        weights, key=lambda name: (sizes[name] % ALIGNMENT != 0, -ITEM_SIZES[CONTAINER[weights[name].type]], name)
    )
    header: dict[str, object] = {
        METADATA: {KEY: program_json(program, {name: weights[name].digest() for name in order})}
    }
    end = 0
    for name in order:
        begin, end = end, end + sizes[name]
        header[name] = {
            "dtype": CONTAINER[weights[name].type], "shape": weights[name].shape, "data_offsets": [begin, end],
        }  # fmt: skip
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    yield len(text).to_bytes(8, "little")
    yield text
    for name in order:
        yield weights[name].data()


def read_plan(path: str | os.PathLike[str]) -> tuple[Program, dict[str, Weight]]:
    """The program and its weights, which stay in the file until they are loaded; every digest is checked.

    Raises PlanError, one line that names the place and the cause.
    """
    where = Path(path).name
    try:
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        reason = error.strerror if isinstance(error, OSError) else error
        raise PlanError(f"{where}: cannot be opened: {reason}") from error
    try:
        return parse_plan(data, where)
    except InputError as error:
        raise PlanError(str(error)) from error


def parse_plan(data: bytes | mmap.mmap, where: str) -> tuple[Program, dict[str, Weight]]:
    metadata, tensors = read_container(data, where, MAX_HEADER)
    if metadata.keys() != {KEY}:
        raise refuse(f"{where}: {METADATA}", KEY, sorted(metadata))
    program, digests = parse_program(metadata[KEY].encode(), f"{where}: program")
    names = {tensor.name for tensor in tensors}
    if names != digests.keys():
        raise refuse(f"{where}: digests", "one for each tensor", sorted(names ^ digests.keys()))
    for tensor in tensors:
        found = hashlib.sha256(memoryview(data)[tensor.offset : tensor.offset + tensor.length]).hexdigest()
        if found != digests[tensor.name]:
            raise refuse(f"{where}: {tensor.name}: SHA-256", digests[tensor.name], found)
    return program, {tensor.name: _weight(data, tensor, where) for tensor in tensors}


def _weight(data: bytes | mmap.mmap, tensor: Tensor, where: str) -> Weight:
    if tensor.dtype not in TYPES:
        raise refuse(f"{where}: {tensor.name}: dtype", ", ".join(TYPES), tensor.dtype)
    dtype = np.dtype(NUMPY[TYPES[tensor.dtype]])
    count = tensor.length // dtype.itemsize

    def load() -> np.ndarray:
        return np.frombuffer(data, dtype, count, tensor.offset).reshape(tensor.shape)

    return Weight(TYPES[tensor.dtype], tensor.shape, load)

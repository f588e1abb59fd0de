"""A plan is read as it was written, and what is wrong with a file is said."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load
from tiny_program import tiny_program

from fewstep.errors import OutputError, PlanError
from fewstep.export.lower.plan_file import certify, read_plan, write_plan
from fewstep.export.lower.plan_json import program_json
from fewstep.export.lower.weights import Weight


def test_read_equals_written(tmp_path: Path) -> None:
    program, weights = tiny_program()
    write_plan(tmp_path / "a.fsp", program, weights)
    read, tensors = read_plan(tmp_path / "a.fsp")
    assert program_json(read, {}) == program_json(program, {})
    assert list(tensors) == ["w"] and np.array_equal(tensors["w"].array(), weights["w"].array())
    write_plan(tmp_path / "b.fsp", read, tensors)
    assert (tmp_path / "a.fsp").read_bytes() == (tmp_path / "b.fsp").read_bytes()


def test_the_official_library_reads_it_and_large_weights_begin_at_64(tmp_path: Path) -> None:
    program, _ = tiny_program()
    rng = np.random.default_rng(0)
    shapes = {"w": (3,), "large": (8, 16), "half": (5,), "table": (7,), "bytes": (3,)}
    types = {"w": "f32", "large": "f16", "half": "f16", "table": "i64", "bytes": "u8"}
    arrays = {name: (rng.standard_normal(shape) * 9).astype(np.float32) for name, shape in shapes.items()}
    weights = {name: Weight(types[name], shapes[name], lambda name=name: abs(arrays[name])) for name in shapes}  # type: ignore[misc]
    write_plan(tmp_path / "a.fsp", program, weights)
    data = (tmp_path / "a.fsp").read_bytes()
    tensors = load(data)
    assert tensors.keys() == shapes.keys()
    assert all(np.array_equal(tensors[name], weight.array()) for name, weight in weights.items())
    assert data.index(weights["large"].array().tobytes()) % 64 == 0


BROKEN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "version": lambda d: d.update(version=2),
    "extra": lambda d: d.update(extra=1),
    "arena is missing": lambda d: d.pop("arena"),
    "precision": lambda d: d.update(precision="float8"),
    "digests": lambda d: d["digests"].update(v="0"),
    "SHA-256": lambda d: d["digests"].update(w="0" * 64),
    "strides": lambda d: d["values"][0].update(strides=[3, -1]),
    "a stride for each axis": lambda d: d["values"][0].pop("buffer"),
    "type": lambda d: d["values"][0].update(type="f64"),
    "inputs.x": lambda d: d["inputs"].update(x=True),
    "buffers": lambda d: d["buffers"].append([0]),
}


@pytest.mark.parametrize("cause", BROKEN)
def test_what_is_wrong_is_said(cause: str, tmp_path: Path) -> None:
    path = tmp_path / "a.fsp"
    write_plan(path, *tiny_program())
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    document = json.loads(header["__metadata__"]["fewstep.plan"])
    BROKEN[cause](document)
    header["__metadata__"]["fewstep.plan"] = json.dumps(document)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    with pytest.raises(PlanError, match=cause):
        read_plan(path)


def test_a_damaged_or_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.fsp"
    with pytest.raises(PlanError, match="cannot be opened"):
        read_plan(path)
    write_plan(path, *tiny_program())
    data = path.read_bytes()
    for cut in (0, 4, 9, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(PlanError):
            read_plan(path)


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    program, weights = tiny_program()
    path = tmp_path / "a.fsp"
    path.write_bytes(b"before")

    def fail() -> Any:
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_plan(path, program, {"w": replace(weights["w"], load=fail)})
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_a_certificate_changes_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.fsp"
    write_plan(path, *tiny_program())
    certificate = {"against": {"onnxruntime": "1.31.1"}, "seeds": [0], "errors": {}}
    certify(path, certificate)
    program, weights = read_plan(path)
    assert program.certificate == certificate and weights["w"].array().tolist() == [0.5, -1.0, 2.0]
    assert program_json(replace(program, certificate=None), {}) == program_json(tiny_program()[0], {})

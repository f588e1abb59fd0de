"""Launches of a plan for a GPU: no more than the architecture has, and with the parameters that the kernel has."""

import base64
import json
import re
import struct
from typing import Any

import numpy as np
import pytest
from launch_bytes import compiled, draft, image, launch, refusal
from plan_bytes import DELETED

from fewstep import _runtime
from fewstep.errors import PlanError
from fewstep.kernels.resources import resources

MAP = {
    "kind": "tensormap", "value": 0, "elem_type": 7, "shape": [8, 16], "strides": [16, 1], "box": [8, 16], "swizzle": 0,
    "nan_padding": False,
}  # fmt: skip
PARAMS: list[dict[str, Any]] = [
    {"kind": "ptr", "value": 0}, {"kind": "ptr", "value": None}, {"kind": "i32", "value": -5}, {"kind": "step"},
    {"kind": "fp16", "value": 0.5}, {"kind": "u1", "value": 1}, {"kind": "i64", "value": 2**40}, MAP,
    {"kind": "fp32", "value": 1}, {"kind": "scratch", "value": None},
]  # fmt: skip
SIZES = (8, 8, 4, 4, 2, 1, 8, 128, 4, 8)


LAUNCH: list[tuple[dict[str, Any], str]] = [
    ({"architecture": 80}, "architecture 80 is none of the plan's"),
    ({"cubin": "other"}, 'cubin: the file has no tensor "other"'),
    ({"entry": "other"}, 'not a legal image: it has no kernel "other"'),
    ({"entry": DELETED}, 'key "entry" is missing'),
    ({"extra": 0}, 'unknown key "extra"'),
    ({"cubin": DELETED}, 'expected one of "cubin", "ptx" and "library"'),
    ({"ptx": "cubin"}, 'expected one of "cubin", "ptx" and "library"'),
    ({"cubin": DELETED, "ptx": "cubin"}, "architecture 90 is none of the plan's"),
    ({"threads": 0}, "threads: expected an integer from 1"),
    ({"threads": 1056}, "expected threads in whole warps, at most 1024, got 1056"),
    ({"threads": 48}, "expected threads in whole warps"),
    ({"grid/0": 0}, r"grid\[0\]: expected an integer from 1"),
    ({"grid/0": 2**31}, "expected an integer from 1 to 2147483647"),
    ({"grid/0": 2**30, "cluster": 2}, "the grid is beyond"),
    ({"grid/1": 65536}, "the grid is beyond"),
    ({"grid/2": 65536}, "the grid is beyond"),
    ({"grid": [1, 1]}, "grid: expected at least 3 items"),
    ({"cluster": 17}, "a cluster of 17 is beyond sm_90"),
    ({"shared": 227 * 1024 - 31}, "expected at most 232448 bytes of shared memory on sm_90, got 232449"),
    ({"shared": -1}, "shared: expected an integer from 0"),
    ({"params": PARAMS[:-1]}, "expected 10 of the kernel, got 9"),
    ({"params/2/kind": "i64"}, r"params\[2\]: expected 4 bytes of the kernel, got 8 of i64"),
    ({"params/2/kind": "i16"}, r"params\[2\]: expected 4 bytes of the kernel, got 2 of i16"),
    ({"params/2/value": 2**31}, "expected an integer from -2147483648 to 2147483647"),
    ({"params/2/value": 1.0}, "expected an integer"),
    ({"params/2/kind": "complex"}, "unknown kind of parameter"),
    ({"params/5/value": 2}, "expected an integer from 0 to 1"),
    ({"params/4/value": "x"}, "expected a number"),
    ({"params/3/value": 1}, 'unknown key "value"'),
    ({"params/0/value": 3}, "expected an integer from 0 to 2"),
    ({"params/7/value": None}, "expected an integer from 0 to 2"),
    ({"params/7/value": 2}, "its value moves"),
    ({"params/7/elem_type": 10}, "elem_type: expected an integer from 0 to 9"),
    ({"params/7/elem_type": 6}, "elem_type is not its value's"),
    ({"params/7/swizzle": 4}, "swizzle: expected an integer from 0 to 3"),
    ({"params/7/nan_padding": 0}, "nan_padding: expected true or false"),
    ({"params/7/shape": [8]}, "expected shape, strides and box of one rank"),
    ({"params/7/shape": [9, 16]}, "reaches beyond the 512 bytes of its value"),
    ({"params/7/shape": [2**31 - 1] * 2}, "reaches beyond the 512 bytes of its value"),
    ({"params/7/strides": [16, 2]}, "expected strides of 16 bytes and 1 last"),
    ({"params/7/strides": [14, 1]}, "expected strides of 16 bytes and 1 last"),
    ({"params/7/box": [257, 16]}, "expected a box of at most 256"),
    ({"params/7/box": [8, 15]}, "expected a box whose last axis is a multiple of 16 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("edits", "message"), LAUNCH, ids=[str(edits)[:60] for edits, _ in LAUNCH])
def test_a_launch(edits: dict[str, Any], message: str) -> None:
    plan = draft(image(SIZES, shared=32), [launch(PARAMS)])
    _runtime.check_plan(plan.bytes())
    found = refusal(plan, edits)
    assert re.search(message, found) and "launches[0]" in found, found


@pytest.mark.parametrize(
    ("architecture", "kilobytes"), [(80, 163), (86, 99), (89, 99), (90, 227), (100, 227), (120, 99)]
)
def test_shared_memory_of_each_architecture(architecture: int, kilobytes: int) -> None:
    entry = {**launch(PARAMS, architecture=architecture), "shared": kilobytes * 1024}
    _runtime.check_plan(draft(image(SIZES), [entry], [architecture]).bytes())
    assert "bytes of shared memory" in refusal(
        draft(image(SIZES), [{**entry, "shared": kilobytes * 1024 + 1}], [architecture])
    )
    if architecture < 90:
        assert "a cluster of 2 is beyond" in refusal(draft(image(SIZES), [{**entry, "cluster": 2}], [architecture]))


def test_launches_of_every_architecture_and_none_on_a_cpu() -> None:
    both = [launch(PARAMS), launch(PARAMS, architecture=80)]
    _runtime.check_plan(draft(image(SIZES), both, [90, 80]).bytes())
    assert "launches: there is none for sm_80" in refusal(draft(image(SIZES), both[:1], [90, 80]))
    plan = draft(image(SIZES), both[:1])
    plan.target = {"device": "cpu"}
    assert "expected none in a plan for a CPU" in refusal(plan)


def test_parameters_have_room() -> None:
    many = [{"kind": "i64", "value": k} for k in range(512)]
    _runtime.check_plan(draft(image([8] * 512), [launch(many)]).bytes())
    assert "expected at most 512 items" in refusal(draft(image([8] * 513), [launch([*many, many[0]])]))
    maps = [MAP] * 33
    assert "expected at most 4096 bytes, got 4224" in refusal(draft(image([128] * 33), [launch(maps)]))


def test_images_that_are_none() -> None:
    whole = image(SIZES)
    plan = draft(whole, [launch(PARAMS)])
    second = struct.pack("<HHI", 1, 0, 8 << 18 | 0x1F000)
    forged: dict[str, list[bytes]] = {
        "it is no ELF file": [b"", b"\x7fELF", bytes(len(whole)), b"\x7fELF\1" + whole[5:]],
        "it is not for a GPU": [image(SIZES, machine=62)],
        "it lacks a parameter": [whole.replace(second, struct.pack("<HHI", 10, 0, 8))],
        "it has a parameter twice": [whole.replace(second, bytes(8))],
    }
    for message, images in forged.items():
        for data in images:
            assert message in refusal(plan, tensors={"cubin": np.frombuffer(data, np.uint8)})
    assert "expected an image of type u8" in refusal(plan, tensors={"cubin": np.zeros(64, np.int32)})
    rng = np.random.default_rng(0)
    for length in range(0, len(whole), 7):  # cut anywhere: the section headers are at the end
        assert "not a legal image" in refusal(plan, tensors={"cubin": np.frombuffer(whole[:length], np.uint8)})
    for _ in range(500):  # refused or not, never a crash: the build with sanitizers runs more of these
        forgery = np.frombuffer(whole, np.uint8).copy()
        forgery[rng.integers(len(forgery), size=3)] = rng.integers(256, size=3)
        try:
            _runtime.check_plan(draft(forgery.tobytes(), [launch(PARAMS)]).bytes())
        except PlanError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_the_compilers_own_images_are_read() -> None:
    for architecture, (name, encoded, _) in json.loads(compiled()).items():
        cubin = base64.b64decode(encoded)
        kinds: list[dict[str, Any]] = [
            {"kind": "ptr", "value": 0}, {"kind": "i32", "value": 1}, {"kind": "fp32", "value": 2.0},
            {"kind": "scratch", "value": None}, {"kind": "scratch", "value": None},
        ]  # fmt: skip
        assert resources(cubin).params == (8, 4, 4, 8, 8)
        plan = draft(cubin, [launch(kinds, name, int(architecture))], [int(architecture)])
        _runtime.check_plan(plan.bytes())
        assert "expected 4 bytes of the kernel" in refusal(plan, {"params/1/kind": "i64"})


def test_an_operation_has_room_for_256_products_on_each_architecture() -> None:
    many = [launch(PARAMS, architecture=architecture) for architecture in (80, 90) for _ in range(4 * 256)]
    _runtime.check_plan(draft(image(SIZES), many, [80, 90]).bytes())
    assert "expected at most 16384 items" in refusal(draft(image(SIZES), many * 9, [80, 90]))

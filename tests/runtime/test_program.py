"""A plan run from Python: what goes in and out, what is refused, and that threads and processes see the same bytes."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_program import tiny_program

from fewstep import _runtime
from fewstep.errors import DeviceError, PlanError
from fewstep.export.lower.plan_file import write_plan

X = np.array([[1, -2, 3], [0.5, 0, -1]], np.float32)


def expected(x: NDArray[np.float32]) -> NDArray[np.float64]:
    z = x.astype(np.float64) * [0.5, -1.0, 2.0] + 0.5
    return np.asarray(z / (1 + np.exp(-z)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_plan(tmp_path / "tiny.fsp", *tiny_program())
    return tmp_path / "tiny.fsp"


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_network_runs(path: Path, threads: int) -> None:
    program = _runtime.Program(path, threads=threads)
    assert program.inputs == {"x": ("float32", (2, 3))} and program.outputs == {"y": ("float32", (2, 3))}
    assert program.counts == [1] and program.batch == 2 and program.precision == "float32"
    assert json.loads(program.metadata)["name"] == "tiny"
    for x in (X, X * 0, X * -7):
        outputs = program.run({"x": x})
        assert outputs.keys() == {"y"} and outputs["y"].dtype == np.float32
        np.testing.assert_allclose(outputs["y"], expected(x), rtol=1e-6, atol=1e-7)


def test_a_run_gives_new_arrays_of_what_is_asked_for(path: Path) -> None:
    program = _runtime.Program(str(path))
    first = program.run({"x": X}, outputs=["y"])["y"]
    kept = first.copy()
    program.run({"x": X * 2})
    np.testing.assert_array_equal(first, kept)
    assert program.run({"x": X}, 1, []) == {}


def test_any_memory_order_is_taken(path: Path) -> None:
    program = _runtime.Program(path)
    y = program.run({"x": X})["y"]
    np.testing.assert_array_equal(program.run({"x": np.asfortranarray(X)})["y"], y)
    np.testing.assert_array_equal(program.run({"x": np.repeat(X, 2, axis=1)[:, ::2]})["y"], y)
    frozen = X.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(program.run({"x": frozen})["y"], y)


REFUSED: dict[str, Callable[[_runtime.Program], Any]] = {
    r'input "x" must be an array of float32 \(2, 3\), got float64 \(2, 3\)': lambda p: p.run({"x": X.astype(float)}),
    r'input "x" must be an array of float32 \(2, 3\), got float32 \(3, 2\)': lambda p: p.run({"x": X.reshape(3, 2)}),
    r'input "x" must be an array of float32 \(2, 3\), got float32 \(6,\)': lambda p: p.run({"x": X.ravel()}),
    r'input "x" must be an array of float32 \(2, 3\), got list': lambda p: p.run({"x": [1.0]}),  # type: ignore[dict-item]
    r"the plan's inputs are x; got none": lambda p: p.run({}),
    r'no input is named "z": the plan has x': lambda p: p.run({"x": X, "z": X}),
    r'no output is named "z": the plan has y': lambda p: p.run({"x": X}, outputs=["z"]),
    r"steps must be one of 1, got 2": lambda p: p.run({"x": X}, 2),
    r"the plan is one network: it has no schedule": lambda p: p.set_schedule(X[0], X, X),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_a_caller_does_wrong_is_a_value_error(message: str, path: Path) -> None:
    program = _runtime.Program(path)
    with pytest.raises(ValueError, match=message):
        REFUSED[message](program)
    np.testing.assert_allclose(program.run({"x": X})["y"], expected(X), rtol=1e-6)


def test_what_is_no_plan_is_a_plan_error(tmp_path: Path) -> None:
    with pytest.raises(PlanError):
        _runtime.Program(tmp_path / "none.fsp")
    (tmp_path / "bad.fsp").write_bytes(b"\0" * 100)
    with pytest.raises(PlanError):
        _runtime.Program(tmp_path / "bad.fsp")


def test_a_device_that_cannot_be_had_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="threads must be 1 to 1024, got 0"):
        _runtime.Program(path, threads=0)
    with pytest.raises(ValueError, match="device must be"):
        _runtime.Program(path, device="abacus")


def test_describe_says_what_the_device_chose_and_counts(path: Path) -> None:
    program = _runtime.Program(path, threads=2)
    for _ in range(3):
        program.run({"x": X})
    description = json.loads(program.describe())
    assert description["device"] == "cpu" and description["threads"] == 2
    assert (
        description["runs"] == 3
        and description["arena"] == 128
        and description["isa"] in ("portable", "avx2", "avx512")
    )
    assert [(op["stage"], op["op"], op["name"]) for op in description["ops"]] == [("network", "map", "silu")]


def test_callers_in_several_threads_are_served_one_after_another(path: Path) -> None:
    program = _runtime.Program(path, threads=2)

    def call(k: int) -> bool:
        y = program.run({"x": X * (k % 40)})["y"]
        return bool(np.allclose(y, expected(X * (k % 40)), rtol=1e-6, atol=1e-7))

    with ThreadPoolExecutor(4) as callers:
        assert all(callers.map(call, range(400)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_is_told_to_open_the_plan_again(path: Path) -> None:
    program = _runtime.Program(path, threads=2)
    child = os.fork()
    if child == 0:
        try:
            program.run({"x": X})
        except DeviceError as error:
            os._exit(7 if error.fault == "unavailable" and "forked" in str(error) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

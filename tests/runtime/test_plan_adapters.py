"""Updates that a plan leaves open: what of it is refused, and how tensors are replaced."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapter_bytes import MODULE, NARROW, RANK, WIDE, open_updates
from numpy.typing import NDArray
from plan_bytes import DELETED, edited, generation, plan_bytes

from fewstep import _runtime
from fewstep.errors import PlanError

TARGET = f"adapters/targets/{MODULE}"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"adapters": None}, "adapters: expected an object, got null"),
    ({"adapters/rank": 0}, "rank: expected an integer from 1"),
    ({"adapters/rank": 2**16 + 1}, "rank: expected an integer from 1 to 65536"),
    ({"adapters/rank": 2.0}, "rank: expected an integer"),
    ({"adapters/rank": DELETED}, 'key "rank" is missing'),
    ({"adapters/modules": DELETED}, 'key "modules" is missing'),
    ({"adapters/targets": DELETED}, 'key "targets" is missing'),
    ({"adapters/other": 1}, 'unknown key "other"'),
    ({"adapters/modules": []}, "modules: expected an object"),
    ({"adapters/modules/" + "m" * 1025: [1, 1]}, "a name of at most 1024 bytes"),
    ({f"adapters/modules/{MODULE}": [3]}, "expected at least 2 items"),
    ({f"adapters/modules/{MODULE}": [3, 4, 1, 1, 1]}, "expected at most 4 items"),
    ({f"adapters/modules/{MODULE}": [3, 0]}, "expected an integer from 1"),
    ({"adapters/modules/unet.b": [5, 3, 3]}, "expected 2 sizes, or 4 of a convolution, got 3"),
    ({f"adapters/modules/{MODULE}": DELETED}, "expected one of the modules"),
    ({TARGET: {}}, 'key "down" is missing'),
    ({f"{TARGET}/more": ""}, 'unknown key "more"'),
    ({f"{TARGET}/down": "v"}, 'the file has no tensor "v"'),
    ({f"{TARGET}/down": 3}, "down: expected a string"),
    ({f"{TARGET}/down": "lora.up"}, r"down: expected a tensor of shape \(2, 4\), got \"lora.up\" of \(3, 2\)"),
    ({f"{TARGET}/up": "w"}, r"up: expected a tensor of shape \(3, 2\), got \"w\" of \(3, 4\)"),
    ({"adapters/rank": 3}, r"down: expected a tensor of shape \(3, 4\)"),
    ({f"adapters/modules/{MODULE}": [3, 4, 1, 1]}, r"down: expected a tensor of shape \(2, 1, 1, 4\)"),
    (
        {"adapters/modules/unet.c": [3, 4], "adapters/targets/unet.c": {"down": "lora.down", "up": "lora.up"}},
        "expected a tensor of its own",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("edits", "message"), REFUSED, ids=[f"{i}" for i in range(len(REFUSED))])
def test_corrupt_adapters_are_refused(edits: dict[str, Any], message: str) -> None:
    draft = open_updates()
    _runtime.check_plan(plan_bytes(draft.document(), draft.tensors))
    with pytest.raises(PlanError, match=message) as error:
        _runtime.check_plan(plan_bytes(edited(draft.document(), edits), draft.tensors))
    assert "\n" not in str(error.value)


def test_only_floats_are_replaced() -> None:
    draft = open_updates()
    draft.tensors["count"] = np.zeros((RANK, WIDE), np.int32)
    document = edited(draft.document(), {f"{TARGET}/down": "count"})
    with pytest.raises(PlanError, match="expected f32, f16 or bf16"):
        _runtime.check_plan(plan_bytes(document, draft.tensors))


def test_the_schedule_is_not_replaced() -> None:
    draft = generation()
    draft.tensors["up"] = np.zeros((2, 2), np.float32)
    draft.adapters = {"rank": 2, "modules": {"m": [2, 3]}, "targets": {"m": {"down": "scales", "up": "up"}}}
    draft.tensors["down"] = np.zeros((2, 3), np.float32)
    document = draft.document()
    with pytest.raises(PlanError, match=r"expected a tensor of shape \(2, 3\), got \"scales\" of \(3, 2\)"):
        _runtime.check_plan(plan_bytes(document, draft.tensors))
    square = {"adapters/rank": 3, "adapters/modules/m": [2, 2]}
    draft.tensors["up"] = np.zeros((2, 3), np.float32)
    with pytest.raises(PlanError, match='expected a tensor of its own, got "scales"'):
        _runtime.check_plan(plan_bytes(edited(document, square), draft.tensors))


def factors(dtype: Any, seed: int) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    shapes = {"lora.down": (RANK, WIDE), "lora.up": (NARROW, RANK)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def raw(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.uint8]]:
    return {name: array.view(np.uint8).reshape(-1) for name, array in arrays.items()}


@pytest.fixture(params=[np.float32, np.float16], ids=["float32", "float16"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def program(dtype: Any, tmp_path: Path) -> _runtime.Program:
    path = tmp_path / "plan.fsp"
    path.write_bytes(open_updates(dtype).bytes())
    return _runtime.Program(path, threads=2)


def run(program: _runtime.Program) -> NDArray[Any]:
    return program.run({next(iter(program.inputs)): X})["y"]


X = np.array([[1, -2, 3, 0.5], [0.25, 0, -1, 2]], np.float32)


def test_tensors_are_replaced(program: _runtime.Program, dtype: Any) -> None:
    name = np.dtype(dtype).name
    assert program.tensors == {"lora.down": (name, (RANK, WIDE)), "lora.up": (name, (NARROW, RANK))}
    assert json.loads(program.adapters)["rank"] == RANK
    w = np.arange(NARROW * WIDE).reshape(NARROW, WIDE)
    first = run(program)
    np.testing.assert_array_equal(first, X @ w.T)
    for seed in (0, 1):
        given = factors(dtype, seed)
        program.set_tensors(raw(given))
        down, up = (given[key].astype(np.float64) for key in ("lora.down", "lora.up"))
        expected: Any = X @ (w + up @ down).T
        np.testing.assert_allclose(run(program), expected, rtol=1e-6, atol=1e-6)
    program.set_tensors(raw({"lora.up": np.zeros((NARROW, RANK), dtype)}))
    assert run(program).tobytes() == first.tobytes()


def test_what_is_not_replaced_is_refused(program: _runtime.Program, dtype: Any) -> None:
    name = next(iter(program.inputs))
    given = factors(dtype, 0)
    program.set_tensors(raw(given))
    before = program.run({name: X})["y"]
    bad = given["lora.up"].copy()
    bad[1, 1] = np.inf
    other = raw(factors(dtype, 1))
    for wrong, message in (
        (other | {"w": other["lora.up"]}, 'no tensor that can be replaced is named "w"'),
        (other | {"lora.up": other["lora.down"]}, '"lora.up" must have'),
        (other | raw({"lora.up": bad}), '"lora.up" must be finite'),
    ):
        with pytest.raises(ValueError, match=message):
            program.set_tensors(wrong)
    with pytest.raises(TypeError):
        program.set_tensors({"lora.up": given["lora.up"]})
    assert program.run({name: X})["y"].tobytes() == before.tobytes()


def test_runs_see_all_of_a_replacement_or_nothing(program: _runtime.Program, dtype: Any) -> None:
    name = next(iter(program.inputs))
    given = [raw(factors(dtype, seed)) for seed in (0, 1)]
    expected = []
    for tensors in given:
        program.set_tensors(tensors)
        expected.append(program.run({name: X})["y"].tobytes())
    stop, seen = threading.Event(), set[bytes]()

    def swap() -> None:
        while not stop.is_set():
            for tensors in given:
                program.set_tensors(tensors)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(500):
            seen.add(program.run({name: X})["y"].tobytes())
    finally:
        stop.set()
        swapper.join()
    assert seen <= {*expected}


def test_a_plan_without_has_none(tmp_path: Path) -> None:
    draft = open_updates()
    draft.adapters = None
    (tmp_path / "plan.fsp").write_bytes(draft.bytes())
    program = _runtime.Program(tmp_path / "plan.fsp")
    assert program.adapters == "" and program.tensors == {}
    with pytest.raises(ValueError, match="the plan has 0 of them"):
        program.set_tensors(raw(factors(np.float32, 0)))

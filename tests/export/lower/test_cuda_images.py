import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).with_name("cuda_example.py")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Any:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    folder = tmp_path_factory.mktemp("plan")
    environment["TRITON_CACHE_DIR"] = str(folder / "cache")
    command = [sys.executable, str(EXAMPLE), str(folder / "example.fsp")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def kinds(launch: Any) -> list[str]:
    return [param["kind"] for param in launch["params"]]


def of(plan: Any, arch: int, kernel: str, image: str = "cubin") -> list[Any]:
    return [
        entry
        for entry in plan["launches"]
        if (entry["architecture"], image in entry) == (arch, True) and kernel in entry["entry"]
    ]


def test_every_operation_has_launches_for_each_architecture(plan: Any) -> None:
    for arch in (80, 90):
        assert len(of(plan, arch, "matmul")) == 2 and len(of(plan, arch, "sampler_step")) == 1
    for launch in plan["launches"]:
        kind = "ptx" if "ptx" in launch else "cubin"
        assert launch[kind].startswith(f"{kind}.sm_{launch['architecture']}.")
        assert plan["weights"][launch[kind]][0] > 1000 and launch["threads"] % 32 == 0 and min(launch["grid"]) >= 1
        assert kinds(launch)[-2:] == ["scratch", "ptr"] and launch["params"][-1]["value"] is None


def test_an_image_serves_launches_that_differ_in_their_numbers(plan: Any) -> None:
    few, many = of(plan, 80, "matmul")
    assert few["cubin"] == many["cubin"]
    numbers = [[p["value"] for p in launch["params"] if p["kind"] == "i32"] for launch in (few, many)]
    assert 50 in numbers[0] and 70 in numbers[1] and 70 not in numbers[0]
    count = len({launch["cubin"] for launch in plan["launches"] if "cubin" in launch})
    assert plan["progress"] == [f"compiling kernels: {done} of {count}" for done in range(1, count + 1)]


def test_ptx_is_of_every_operation_and_of_the_same_compilations(plan: Any) -> None:
    """It has room on every later architecture, and is text that ends with a zero."""
    portable = [launch for launch in plan["launches"] if "ptx" in launch]
    assert [launch["entry"] for launch in portable] == [
        launch["entry"] for launch in plan["launches"] if launch["architecture"] == 80 and "cubin" in launch
    ]
    assert all(launch["shared"] <= 99 * 1024 and launch["cluster"] == 1 for launch in portable)
    for text in plan["ptx"].values():
        assert text.startswith("//") and ".version 8.0\n.target sm_80\n" in text and text.endswith("\0")


def test_the_copy_engine_is_told_of_operands_and_weights(plan: Any) -> None:
    [launch] = of(plan, 90, "tma")
    maps = [param for param in launch["params"] if param["kind"] == "tensormap"]
    assert [m["shape"] for m in maps] == [[1, 8, 8, 32], [32, 32]]
    assert [m["strides"][-1] for m in maps] == [1, 1]
    where = [plan["values"][m["value"]] for m in maps]
    assert where[0]["buffer"] is not None and where[1]["weight"] is not None


def test_the_step_is_bound_when_it_runs_and_its_row_moves(plan: Any) -> None:
    for arch in (80, 90):
        [launch] = of(plan, arch, "sampler_step")
        assert kinds(launch).count("step") == 1
        moving = [p["value"] for p in launch["params"] if p["kind"] == "ptr" and p["value"] is not None]
        assert [plan["values"][index]["row"] for index in moving].count(9) == 1


def test_weights_lie_as_kernels_read_them(plan: Any) -> None:
    assert plan["weights"]["rows.rows"] == [24, 16] and "rows" not in plan["weights"]

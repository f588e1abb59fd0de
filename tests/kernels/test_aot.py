"""Every kernel compiles for every architecture at its real shapes, without a GPU, and keeps to its registers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
import triton.language as tl

from fewstep.errors import InputError
from fewstep.kernels.aot import compile_launch
from fewstep.kernels.launch import Launch

ROOT = Path(__file__).parents[2]

# Bytes of local memory by kernel and architecture, with the reason why more than none is right there.
WIDE = "512 threads hold 32 x 1024 elements in 128 registers each, and some words too many are live"
SPILLS: dict[tuple[str, int], tuple[int, str]] = {
    **{
        ("_group_norm_kernel", arch): (spilled, WIDE)
        for arch, spilled in {80: 8, 86: 104, 89: 104, 90: 56, 100: 32, 120: 40}.items()
    },
    **{
        ("_map_kernel", arch): (8, "digits of 2 / pi, by which a cosine reduces large angles")
        for arch in (80, 86, 89, 120)
    },
    ("tma_kernel", 120): (8, "two words, with Triton 3.6 alone"),
}


FAILS = "scale_kernel does not compile for sm_"
REFUSALS = {
    "arch": "arch: expected 80, 86, 89, 90, 100, 120, got 91",
    "block": f"{FAILS}90: arange's range must be a power of 2",
    "assembler": f"{FAILS}90: ptxas",
    "cluster": f"{FAILS}80: num_ctas > 1",
    "descriptor": "x_desc: expected an architecture with tensor maps, 90 or above",
    "shared": "scale_kernel on sm_120: expected at most 101376 bytes of shared memory, got 13",
    "type": f"{FAILS}90: ",
    "option": f"{FAILS}90: ",
    "process": f"node a: {FAILS}90: ptxas",
}


def compiling(*command: str) -> str:
    """What a Python process prints in which kernels are compiled, not interpreted."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(compiling("tests/kernels/aot_example.py"))
    return found


# Every shape on one architecture, the largest on the others; `make aot` does all.
EXTENTS = {("80", "86", "89", "100", "120"): ["--few"], ("90",): []}


@pytest.mark.parametrize("architectures", EXTENTS, ids=" ".join)
def test_kernels_compile_without_spills(architectures: tuple[str, ...], tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    compiling(
        "-m",
        "benchmarks.aot",
        *EXTENTS[architectures],
        *(f"--arch={arch}" for arch in architectures),
        "--out",
        str(out),
    )
    _, *rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["arch"] for row in rows} == {*map(int, architectures)}
    assert all(row["cubin_bytes"] > 0 and row["registers"] > 0 for row in rows)
    spilled = {(r["kernel"], r["shape"], r["arch"]): r["spills"] for r in rows if r["spills"] > allowed(r)}
    assert spilled == {}


def allowed(row: dict[str, Any]) -> int:
    return SPILLS.get((row["kernel"], row["arch"]), (0, ""))[0]


def test_the_contract_names_every_parameter_in_order(example: dict[str, Any]) -> None:
    cubin = example["cubin"]
    params = [(p["name"], p["kind"], p["size"], p["multiple"], p["value"]) for p in cubin["params"]]
    assert params == [
        ("x_ptr", "ptr", 8, 2, None),  # a view that begins 2 bytes on
        ("x_desc", "tensormap", 128, 16, None),
        ("x_desc", "i32", 4, 1, 256),
        ("x_desc", "i32", 4, 1, 256),
        ("x_desc", "i64", 8, 1, 256),
        ("x_desc", "i64", 8, 1, 1),
        ("y_ptr", "ptr", 8, 16, None),
        ("N", "i32", 4, 1, 100),
        ("far", "i64", 8, 16, 2**40),  # and no stride, which is 1
        ("factor", "fp32", 4, 1, 2.0),
        ("flag", "u1", 1, 1, True),
        ("global_scratch", "ptr", 8, 1, None),
        ("profile_scratch", "ptr", 8, 1, None),
    ]
    assert cubin["kernel"] == cubin["entry"] == "scale_kernel"
    assert (cubin["arch"], cubin["grid"], cubin["threads"], cubin["num_ctas"]) == ("sm_90a", [3, 2, 1], 64, 1)
    assert cubin["registers"] > 0 and cubin["spills"] == cubin["scratch_size"] == 0


def test_a_tensor_map_is_described_for_the_driver(example: dict[str, Any]) -> None:
    [tensormap] = [p["tensormap"] for p in example["cubin"]["params"] if p["kind"] == "tensormap"]
    assert tensormap["elem_type"] == 9  # CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
    assert (tensormap["elem_size"], tensormap["shape"], tensormap["strides"]) == (2, [256, 256], [256, 1])
    assert tensormap["box"][0] == 64 and 128 % tensormap["box"][1] == 0 and not tensormap["nan_padding"]


def test_images_are_the_same_every_time_and_hold_no_path(example: dict[str, Any]) -> None:
    assert len(set(example["hashes"] + example["by processes"])) == 1
    assert example["paths"] == [] and example["line_info"] is False


def test_clusters_and_spills_are_reported(example: dict[str, Any]) -> None:
    assert example["cluster"] == 2 and example["squeezed"] > 0


def test_refusals_name_the_kernel_and_the_reason(example: dict[str, Any]) -> None:
    refusals = example["refusals"]
    for name, message in REFUSALS.items():
        assert refusals[name].startswith(message), refusals[name]
    assert "Unknown option" in refusals["assembler"] and "BLOK" in refusals["option"]


@pytest.mark.skipif(not triton.knobs.runtime.interpret, reason="kernels are compiled here")
def test_interpreted_kernels_are_refused() -> None:
    @triton.jit
    def kernel(x_ptr) -> None:
        tl.store(x_ptr, 1)

    with pytest.raises(InputError, match="got Triton's interpreter"):
        compile_launch(Launch(kernel, (1, 1, 1), {"x_ptr": torch.empty(1, device="meta")}), 90)

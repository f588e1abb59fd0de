"""What the fuzzer of programs begins with: a plan of every operation and every stage, and plans for GPUs.

    python tests/fuzz_seeds.py

writes runtime/fuzz/corpus/program anew.
"""

from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
from adapter_bytes import open_updates
from launch_bytes import draft, image, launch
from plan_bytes import Draft, begun, generation, network

TESTS = Path(__file__).parent
ROOT = TESTS.parent
FOLDER = ROOT / "runtime/fuzz/corpus/program"
OPERATIONS: dict[str, Any] = run_path(str(TESTS / "runtime/test_plan_ops.py"))
LAUNCHES: dict[str, Any] = run_path(str(TESTS / "runtime/test_plan_launches.py"))
LIBRARY: dict[str, Any] = run_path(str(TESTS / "runtime/test_plan_library.py"))
IMAGES = ({"cubin": "cubin"}, {"ptx": "text"})


def weights() -> Draft:
    """Two products that run one after the other in each other's memory, by weights of every type."""
    out = Draft()
    x = out.given("f32", 2, 4)
    values = [out.value("f32", 2, 4) for _ in range(3)]
    half = out.weight("half", np.ones((4, 4), np.float16))
    whole = out.weight("whole", np.ones((4, 4), np.float32))
    bias = out.weight("bias", np.ones(4, np.float32))
    rows = out.weight("rows", np.array([1, 0], np.int64))
    plain = {"activation": "", "scale": 1.0, "glu": ""}
    out.op("matmul", [x, half, bias], values[:1], **plain)
    out.op("matmul", [values[0], whole, bias, None, x], values[1:2], **plain)
    out.op("gather", [values[1], rows], values[2:])
    y = out.value("f32", 2, 4)
    out.op("layer_norm", [values[2], bias], [y], eps=1e-5)
    out.buffers[3] = out.buffers[1]
    out.outputs = {"y": y}
    return out


def moving() -> Draft:
    """A generation that writes each step beside what it reads, in one buffer."""
    out = generation()
    shape = (1, 3, 2, 2)
    whole = out.value("f32", 26)
    near, far = (
        out.value("f32", *shape, buffer=out.values[whole]["buffer"], offset=offset, step=step)
        for offset, step in ((0, 0), (12, 1))
    )
    start, step = (stage["ops"] for stage in out.stages if stage["name"] in ("start", "step"))
    start.insert(
        0, {"op": "map", "name": "near", "inputs": [], "outputs": [near], "attributes": {"code": [["const", 1]]}}
    )
    step.insert(0, {"op": "map", "name": "far", "inputs": [near], "outputs": [far], "attributes": {"code": []}})
    return out


def launches() -> Draft:
    """The kernel of the CUDA device's tests twice, as an image and as text, by way of a temporary value."""
    cubin = (ROOT / "runtime/tests/data/add.80.cubin").read_bytes()
    entry = {
        "entry": "add_kernel", "architecture": 80, "grid": [1, 1, 1], "threads": 32, "shared": 0, "cluster": 1,
    }  # fmt: skip
    out = draft(cubin, [], [80])
    out.target["ptx"] = 80
    text = (ROOT / "runtime/tests/data/add.80.ptx").read_bytes() + b"\0"
    out.tensors["text"] = np.frombuffer(text, np.uint8)
    between = out.value("f32", 8, 16)
    for source, target in ((0, between), (between, 1)):
        params = [*({"kind": "ptr", "value": value} for value in (source, source, target)), {"kind": "i32", "value": 1}]
        params += [{"kind": "scratch", "value": None}, {"kind": "ptr", "value": None}]
        out.stages[0]["ops"][0]["launches"] += [{**entry, **of, "params": params} for of in IMAGES]
    return out


def seeds() -> dict[str, bytes]:
    """Of each file its name and its bytes."""
    sizes, params, tensormap = (LAUNCHES[name] for name in ("SIZES", "PARAMS", "MAP"))
    both = [launch(params), launch(params, architecture=120)]
    copied = launch([tensormap, {"kind": "ptr", "value": 1}])
    drafts: dict[str, Draft] = {case.name or case.op: case.draft() for case in OPERATIONS["CASES"]} | {
        "network": network(), "generation": generation(), "begun": begun(), "moving": moving(), "weights": weights(),
        "launches": launches(), "architectures": draft(image(sizes, shared=32), both, [90, 120]),
        "tensormap": draft(image([128, 8]), [copied]), "library": LIBRARY["plan"](),
        "adapters": open_updates(),
    }  # fmt: skip
    return {name: made.bytes() for name, made in drafts.items()}


def main() -> None:
    for old in FOLDER.iterdir():
        old.unlink()
    for name, data in seeds().items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()

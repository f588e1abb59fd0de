"""A compiled bundle's pictures are onnxruntime's, on the C++ runtime and by the interpreter of programs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from run_program import Machine
from small_bundle import write_bundle

import fewstep
from fewstep._runtime import Program as Native
from fewstep.api import open_model
from fewstep.compilation import compile_plan
from fewstep.engine.backends.onnxruntime import OnnxRuntimeBackend
from fewstep.engine.bundle import Bundle
from fewstep.engine.job import Job
from fewstep.engine.request import contract_schedule
from fewstep.errors import ContractError
from fewstep.export.lower.generation import compile_bundle
from fewstep.export.lower.plan_file import write_plan
from fewstep.export.lower.program import Program
from fewstep.export.lower.weights import Weight

SEEDS = (0, 2**64 - 1, 77)
LABELS = np.array([[3, 2, 1], [16, 8, 10], [0, 0, 0]])
Compiled = tuple[Program, Mapping[str, Weight]]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_model("toons16")


@pytest.fixture(scope="module")
def compiled(bundle: Bundle) -> dict[int, Compiled]:
    """By batch."""
    return {batch: compile_bundle(bundle, batch=batch) for batch in (1, 3)}


@pytest.fixture(scope="module")
def expected(bundle: Bundle) -> dict[int, NDArray[np.uint8]]:
    """onnxruntime's images by step count."""
    backend = OnnxRuntimeBackend(bundle, threads=1)
    return {N: backend.run(Job(SEEDS, {"labels": LABELS}, contract_schedule(bundle.manifest, N)))[0] for N in (1, 2, 4)}


def inputs(first: int, batch: int) -> dict[str, NDArray[np.int64]]:
    seeds = np.array(SEEDS[first : first + batch], np.uint64).view(np.int64)
    return {"seeds": seeds, "labels": LABELS[first : first + batch]}


def check(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    """At most one grey level apart, and that in few places."""
    apart = np.abs(found.astype(int) - expected)
    assert apart.max() <= 1 and (apart > 0).mean() < 2e-3


def test_the_program_is_fused(compiled: dict[int, Compiled]) -> None:
    program, _ = compiled[1]
    (step,) = (stage for stage in program.stages if stage.name == "step")
    kinds = [op.op for op in step.ops]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "conv2d": 24, "group_norm": 16, "map": 4, "attention": 1, "sampler_step": 1,
    }  # fmt: skip
    assert all(op.attributes["code"] == [] for op in step.ops if op.op == "map")  # pixel shuffles


def test_the_interpreter_agrees(compiled: dict[int, Compiled], expected: dict[int, NDArray[np.uint8]]) -> None:
    machine = Machine(*compiled[3])
    for N in (2, 1):
        out = machine.run(inputs(0, 3), N)
        check(out["images"], expected[N])
        assert not out["flag"].any()


def test_the_runtime_agrees(
    compiled: dict[int, Compiled], expected: dict[int, NDArray[np.uint8]], tmp_path: Path
) -> None:
    path = tmp_path / "toons16.fsp"
    write_plan(path, *compiled[1])
    native = Native(str(path))
    for N, images in expected.items():
        for i in range(len(SEEDS)):
            out = native.run(inputs(i, 1), N)
            check(out["images"], images[i : i + 1])


def test_a_batch_is_its_images(compiled: dict[int, Compiled], tmp_path: Path) -> None:
    for batch, plan in compiled.items():
        write_plan(tmp_path / f"{batch}.fsp", *plan)
    one, three = (Native(str(tmp_path / f"{batch}.fsp")) for batch in (1, 3))
    for N in (1, 2, 4):
        together = three.run(inputs(0, 3), N)
        for i in range(3):
            alone = one.run(inputs(i, 1), N)
            apart = np.abs(alone["latents"] - together["latents"][i])
            assert apart.max() <= 5e-6 * np.sqrt(np.mean(alone["latents"] ** 2)) * 10


def test_halves_are_near(bundle: Bundle, expected: dict[int, NDArray[np.uint8]]) -> None:
    """The bundle's large weights are halves already; only biases and the norms' factors are rounded."""
    program, weights = compile_bundle(bundle, steps=[2], precision="float16")
    assert sum(len(weight.data()) for weight in weights.values()) < 7e6
    assert program.schedule is not None and program.schedule["counts"] == {"2": 0}
    found = Machine(program, weights).run(inputs(0, 1), 2)["images"]
    assert np.abs(found.astype(int) - expected[2][:1]).max() <= 1


def test_settings_the_model_has_not_are_refused(bundle: Bundle) -> None:
    for steps in ([3], [], [1, 5]):
        with pytest.raises(ContractError, match="steps"):
            compile_bundle(bundle, steps=steps)


def test_a_guided_model_is_onnxruntimes_and_holds_its_guidance(tmp_path: Path) -> None:
    told = {"name": "trigflow", "default_steps": 2, "guidance": 2.0, "steps": {"2": {"times": [1.5, 0.9]}}}
    guided = write_bundle(tmp_path / "guided", schedule=told)
    compile_plan(guided, tmp_path / "guided.fsp", batch=2)
    plan, onnx = fewstep.load(tmp_path / "guided.fsp"), fewstep.load(guided, device="cpu")
    found, expected = (pipe(n=3, seed=5).images.astype(int) for pipe in (plan, onnx))
    assert np.abs(found - expected).max() <= 1
    others = onnx(n=3, seed=5, guidance=1, force=True).images
    assert np.abs(others - expected).max() > 8
    with pytest.raises(ContractError, match="a plan holds its guidance, 2; load the bundle to give it another"):
        plan(guidance=1, force=True)

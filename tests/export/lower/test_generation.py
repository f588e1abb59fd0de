"""Bundles of every kind of contract become programs that make onnxruntime's pictures; no C++ is run here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_program import Machine
from small_bundle import write_bundle

from fewstep.engine.backends.onnxruntime import OnnxRuntimeBackend
from fewstep.engine.bundle import Bundle
from fewstep.engine.job import Job
from fewstep.engine.request import contract_schedule
from fewstep.errors import ContractError
from fewstep.export.lower.generation import compile_bundle
from fewstep.export.lower.memory import floor
from fewstep.export.lower.plan_file import read_plan, write_plan

SEEDS, LABELS = (3, 2**64 - 1), np.array([[0, 1, 2], [3, 3, 4]])
PLANS = Path(__file__).parents[2] / "data" / "plans"


def contract(name: str, *steps: int, **options: Any) -> dict[str, Any]:
    return {"name": name, "default_steps": steps[0], "guidance": 1.0, "steps": {str(N): options for N in steps}}


VARIANTS: dict[str, dict[str, Any]] = {
    "trigflow": {},
    "with history": {"schedule": contract("dpmpp-2m", 2, 4)},
    "with noise": {"schedule": contract("lcm", 1, 3)},
    "clamped": {"schedule": contract("ddim", 3, clip_sample=True)},
    "scaled input": {"schedule": contract("euler", 2, 3)},
    "guided": {"schedule": contract("trigflow", 1, 2) | {"guidance": 2.0}},
    "guided with history": {"schedule": contract("dpmpp-2m", 2, 4) | {"guidance": 1.5}},
    "guided and clamped": {"schedule": contract("ddim", 3, clip_sample=True) | {"guidance": 3.0}},
    "of a latent": {"latent": {"scaling_factor": 0.5, "shift_factor": 0.25}},
    "black is 0": {"image": {"width": 8, "height": 8, "channels": 3, "range": [0, 1]}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_pictures_are_those_of_onnxruntime(variant: str, tmp_path: Path) -> None:
    bundle = Bundle.open(write_bundle(tmp_path, **VARIANTS[variant]))
    backend = OnnxRuntimeBackend(bundle, threads=1)
    for batch in (1, 2):
        machine = Machine(*compile_bundle(bundle, batch=batch))
        inputs = {"labels": LABELS[:batch]}
        if bundle.manifest.schedule.is_guided:
            inputs["null_labels"] = LABELS[:batch] // 2
        for N in bundle.manifest.schedule.steps:
            seeds = np.array(SEEDS[:batch], np.uint64).view(np.int64)
            found = machine.run({"seeds": seeds, **inputs}, N)
            job = Job(SEEDS[:batch], inputs, contract_schedule(bundle.manifest, N))
            expected, latents = backend.run(job)[0], backend.latents(job)
            assert np.abs(found["latents"] - latents).max() <= 1e-5 * np.abs(latents).max()
            assert np.abs(found["images"].astype(int) - expected).max() <= 1
            assert found["latents"].shape == (batch, 3, 8, 8) and not found["flag"].any()


def test_what_overflows_is_flagged(tmp_path: Path) -> None:
    bundle = Bundle.open(write_bundle(tmp_path, overflow=True))
    machine = Machine(*compile_bundle(bundle))
    inputs = {"seeds": np.array([1]), "labels": LABELS[:1]}
    with np.errstate(all="ignore"):
        assert machine.run(inputs, 1)["flag"].tolist() == [1]
        assert machine.run(inputs, 2)["flag"].tolist() == [1]


def test_steps_are_chosen_and_stages_are_theirs(tmp_path: Path) -> None:
    bundle = Bundle.open(write_bundle(tmp_path))
    program, _ = compile_bundle(bundle, steps=[4, 1])
    assert program.schedule is not None
    assert program.schedule["counts"] == {"1": 0, "4": 1} and program.schedule["rows"] == 5
    names = [(stage.name, stage.steps) for stage in program.stages]
    assert names == [
        ("tables", 0), ("prompt", 0), ("modulation", 1), ("modulation", 4), ("start", 0), ("step", 0), ("finish", 0),
    ]  # fmt: skip
    assert floor(program) <= program.arena <= 1.2 * floor(program)


def test_what_a_model_is_told_of_is_there(tmp_path: Path) -> None:
    bundle = Bundle.open(write_bundle(tmp_path))
    program, weights = compile_bundle(bundle)
    write_plan(tmp_path / "a.fsp", program, weights)
    model = read_plan(tmp_path / "a.fsp")[0].model
    assert model["bundle"] == bundle.digest and model["manifest"]["labels"][0]["name"] == "class"
    assert model["manifest"]["schedule"]["steps"].keys() == {"1", "2", "4"}
    assert {"stage": "step", "pass": "views", "operations": 2, "copies": 0} in program.passes


@pytest.mark.parametrize("schedule", ["two times", "flow-heun"])
def test_what_plans_cannot_run_is_refused(schedule: str, tmp_path: Path) -> None:
    contracts = {
        "two times": contract("meanflow", 1),
        "flow-heun": contract("flow-heun", 2),
    }
    bundle = Bundle.open(write_bundle(tmp_path, schedule=contracts[schedule]))
    with pytest.raises(ContractError, match="one time"):
        compile_bundle(bundle)


@pytest.mark.parametrize("version", [1])
def test_plans_of_every_version_are_read_and_run(version: int) -> None:
    """The files are kept as they were written, with the images that they made then."""
    program, weights = read_plan(PLANS / f"v{version}.fsp")
    expected = np.load(PLANS / f"v{version}.npy")
    machine = Machine(program, weights)
    found = machine.run({"seeds": np.array([7]), "labels": np.array([[0, 1, 2]])}, 2)
    assert np.abs(found["images"].astype(int) - expected).max() <= 1

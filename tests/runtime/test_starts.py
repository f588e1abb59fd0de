"""Plans whose noise, first state and kept picture are inputs make what plans of seeds and what onnxruntime make."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_program import Machine
from small_bundle import write_bundle

from fewstep.engine.backends.native import NativeBackend
from fewstep.engine.backends.onnxruntime import OnnxRuntimeBackend
from fewstep.engine.backends.plan_inputs import start_inputs
from fewstep.engine.bundle import Bundle
from fewstep.engine.job import Job
from fewstep.engine.noise import stream
from fewstep.engine.pipeline import Pipeline
from fewstep.engine.request import contract_schedule
from fewstep.engine.start import Start
from fewstep.errors import ContractError, DeviceError
from fewstep.export.lower.generation import compile_bundle
from fewstep.export.lower.plan_file import write_plan

SEEDS, LABELS = (3, 2**64 - 1, 40), {"labels": np.array([[0, 1, 2], [3, 3, 4], [1, 0, 0]])}
CLOSE = 5e-6  # of the largest latent, of a network in float32
STEPS = (1, 4)
SCHEDULES = ("trigflow", "lcm", "euler", "dpmpp-2m")
PICTURES = np.random.default_rng(1).normal(size=(3, 3, 8, 8)).astype(np.float32)
MASK = np.random.default_rng(2).random((3, 1, 8, 8)).astype(np.float32).round(1)  # soft, and 0 and 1 in places
Native = Callable[..., NativeBackend]


@pytest.fixture(params=SCHEDULES)
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Bundle:
    contract = {"name": request.param, "default_steps": 1, "guidance": 1.0, "steps": {str(N): {} for N in STEPS}}
    changes: dict[str, Any] = {} if request.param == "trigflow" else {"schedule": contract}
    return Bundle.open(write_bundle(tmp_path / "bundle", **changes))


@pytest.fixture
def native(bundle: Bundle, tmp_path: Path) -> Native:
    def opened(**options: Any) -> NativeBackend:
        path = tmp_path / "plan.fsp"
        write_plan(path, *compile_bundle(bundle, **options))
        return NativeBackend(path, threads=1)

    return opened


def job(bundle: Bundle, steps: int, **start: Any) -> Job:
    return Job(SEEDS, LABELS, contract_schedule(bundle.manifest, steps), Start(**start))


def check(found: Any, expected: Any) -> None:
    assert np.abs(found - expected).max() <= CLOSE * np.abs(expected).max()


@pytest.mark.parametrize("batch", [1, 2])
def test_noise_of_the_same_seeds_is_the_same_picture_to_the_bit(bundle: Bundle, native: Native, batch: int) -> None:
    plans = [native(batch=batch, **options) for options in ({}, {"noise": "input"}, {"edit": True})]
    assert [sorted(plan.program.inputs) for plan in plans] == [
        ["labels", "seeds"], ["labels", "noise", "state"], ["labels", "noise", "picture", "picture_mask", "state"],
    ]  # fmt: skip
    for N in STEPS:
        of_seeds, *others = [plan.generate(job(bundle, N))[0] for plan in plans]
        given = job(bundle, N, noise=[stream(seed, (3, 8, 8)) for seed in SEEDS])
        others += [plan.generate(given)[0] for plan in plans[1:]]
        assert all(np.array_equal(other, of_seeds) for other in others)


@pytest.mark.parametrize("batch", [1, 2])
def test_given_noise_and_pictures_are_met_as_onnxruntime_meets_them(bundle: Bundle, native: Native, batch: int) -> None:
    plan, other = native(batch=batch, edit=True), OnnxRuntimeBackend(bundle, threads=1)
    rng = np.random.default_rng(5)
    drawn = rng.normal(size=(3, 5, 1, 3, 8, 8)).astype(np.float32)
    noise = [drawn[i].__getitem__ for i in range(3)]
    table = job(bundle, 4).table
    pictures: dict[str, Any] = {"latents": PICTURES, "noise": noise}
    starts: list[dict[str, Any]] = [{"noise": noise}, pictures, {**pictures, "mask": MASK}]
    starts += [{**start, "first": first} for start in starts[1:] for first in (1, 3) if not table.e[first]]
    found = []
    for start in starts:
        asked = job(bundle, 4, **start)
        found.append(plan.generate(asked)[0])
        check(found[-1], other.latents(asked))
        images, _ = plan.run(asked)
        assert np.abs(images.astype(int) - other.run(asked)[0]).max() <= 1
    told = found[2:]  # a picture at the first row may be noise alone
    assert all(np.abs(a - b).max() > 1e-2 for i, a in enumerate(told) for b in [found[0], *told[:i]])
    check(plan.generate(job(bundle, 1, **pictures))[0], other.latents(job(bundle, 1, **pictures)))


@pytest.mark.parametrize("rng", ["fewstep", "torch"])
def test_requests_are_those_of_the_bundle(bundle: Bundle, native: Native, rng: str) -> None:
    plan, other = (Pipeline(bundle.manifest, backend) for backend in (native(edit=True), OnnxRuntimeBackend(bundle)))
    image = np.random.default_rng(7).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    mask = np.arange(64).reshape(8, 8) % 3 > 0
    for change in ({}, {"image": image, "strength": 0.99}, {"image": image, "mask": mask}, {"seed_to": 9, "mix": 0.4}):
        asked: dict[str, Any] = {"seed": 3, "n": 2, "steps": 4, "rng": rng, **change}
        try:
            expected = other(**asked).images.astype(int)
        except ContractError as error:  # a row that reads the one before it
            with pytest.raises(ContractError, match=re.escape(str(error))):
                plan(**asked)
            continue
        assert np.abs(plan(**asked).images - expected).max() <= 1


def test_the_interpreter_agrees(bundle: Bundle, native: Native) -> None:
    plan = native(batch=3, edit=True)
    machine = Machine(*compile_bundle(bundle, batch=3, edit=True))
    for first in (0, 3):
        if job(bundle, 4).table.e[first]:
            continue
        asked = job(bundle, 4, latents=PICTURES, mask=MASK, first=first)
        inputs = start_inputs(plan.program.inputs, asked, [0, 1, 2]) | LABELS
        found = machine.run(inputs, 4, first)
        check(found["latents"], plan.generate(asked)[0])
        assert not found["flag"].any()


def test_what_a_plan_cannot_begin_with_is_refused(bundle: Bundle, native: Native) -> None:
    noise = [stream(seed, (3, 8, 8)) for seed in SEEDS]
    of_seeds, of_noise = native(), native(noise="input")
    for start in ({"noise": noise}, {"latents": PICTURES}):
        with pytest.raises(ContractError, match="compile it with --noise input or --edit"):
            of_seeds.run(job(bundle, 4, **start))
    with pytest.raises(ContractError, match="image: this plan begins with noise of seeds"):
        of_seeds.encode(PICTURES)
    with pytest.raises(ContractError, match="keeps nothing of a picture; compile it with --edit"):
        of_noise.run(job(bundle, 4, latents=PICTURES, mask=MASK))
    with pytest.raises(ContractError, match="row"):
        of_noise.run(job(bundle, 4, latents=PICTURES, first=4))


def test_a_later_step_is_for_plans_that_begin_anywhere(bundle: Bundle, native: Native) -> None:
    of_seeds, of_noise = native(), native(noise="input")
    seeds = {"seeds": np.array([3]), "labels": LABELS["labels"][:1]}
    with pytest.raises(ValueError, match=r'first must be 0 to 0, got 1: the plan has no input "state"'):
        of_seeds.program.run(seeds, 4, first=1)
    given = start_inputs(of_noise.program.inputs, job(bundle, 4), [0]) | {"labels": LABELS["labels"][:1]}
    for first in (-1, 4):
        with pytest.raises(ValueError, match=rf"first must be 0 to 3, got {first}$"):
            of_noise.program.run(given, 4, first=first)
    once = of_noise.program.run(given, 4, first=1)["latents"]
    of_noise.program.run(given, 4)  # leaves another history
    assert np.array_equal(once, of_noise.program.run(given, 4, first=1)["latents"])


def test_a_picture_that_is_not_finite_is_told_of(bundle: Bundle, native: Native) -> None:
    plan, broken = native(edit=True), PICTURES.copy()
    broken[1, 0, 0, 0] = np.nan
    with pytest.raises(DeviceError, match="met NaN or Inf"):
        plan.run(job(bundle, 4, latents=broken, mask=MASK))

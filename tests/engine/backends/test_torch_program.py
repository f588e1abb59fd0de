"""A request over fixed buffers: the eager pictures, whatever is loaded after whatever."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from small_generation import SEEDS, SHAPE, small
from torch import Tensor

from fewstep.engine.backends.torch.backend import Kind
from fewstep.engine.backends.torch.captured import Captured
from fewstep.engine.backends.torch.eager import generate
from fewstep.engine.backends.torch.guided import of_schedule
from fewstep.engine.backends.torch.model import TorchModel
from fewstep.engine.backends.torch.program import Modules, Program, Shape
from fewstep.engine.job import Job
from fewstep.engine.noise import normal, stream
from fewstep.engine.schedule import GuidedSchedule, Schedule, schedule
from fewstep.engine.start import Start
from fewstep.errors import BackendError, ContractError, InputError

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def program_of(table: Schedule | GuidedSchedule, dtype: torch.dtype = torch.float32) -> Program:
    made = of_schedule(small(dtype), table)
    return Program(made, Modules(made.prompt, made.denoiser, made.decoder), Shape.of(len(SEEDS), table))


def run(
    program: Program, seeds: tuple[int, ...], inputs: dict[str, Tensor], table: Schedule | GuidedSchedule
) -> Tensor:
    program.load(seeds, inputs, table)
    program.run()
    return program.result().clone()


def differ(one: Tensor, two: Tensor) -> int:
    return int((one.int() - two.int()).abs().max())


@pytest.mark.parametrize("guidance", [None, 2.5], ids=["plain", "guided"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("name", "N"), [("cm", 2), ("flow-euler", 1), ("euler-ancestral", 2), ("dpmpp-2m", 3), ("scm", 2)]
)
def test_makes_the_eager_pictures(name: str, N: int, dtype: torch.dtype, guidance: float | None, device: str) -> None:
    plain = schedule(name, N)
    table = plain if guidance is None else plain.guided(guidance)
    program = program_of(table, dtype)
    inputs = program.generation.random_inputs(2, seed=1)
    eager = generate(small(dtype), inputs, SEEDS, table)
    assert differ(run(program, SEEDS, inputs, table), eager) <= (1 if dtype == torch.float32 else 3)


def test_another_request_in_the_same_buffers_is_a_fresh_one(device: str) -> None:
    one, two = schedule("cm", 2), schedule("euler-ancestral", 2)
    used = program_of(one)
    inputs = [used.generation.random_inputs(2, seed) for seed in (1, 2)]
    first = run(used, SEEDS, inputs[0], one)
    changed = [
        run(used, (5, 6), inputs[0], one),
        run(used, SEEDS, inputs[1], one),
        run(used, SEEDS, inputs[0], two),
    ]
    assert all(differ(first, other) > 0 for other in changed)
    fresh = program_of(one)
    assert torch.equal(run(fresh, (5, 6), inputs[0], one), changed[0])
    assert torch.equal(run(used, SEEDS, inputs[0], one), first)


def test_refuses_what_is_another_program(device: str) -> None:
    program = program_of(schedule("cm", 2))
    inputs = program.generation.random_inputs(2, 0)
    with pytest.raises(InputError, match="seeds: expected 2, one an image of this program, got 1"):
        program.load([1], inputs, schedule("cm", 2))
    with pytest.raises(ContractError, match="expected 2 steps, without history as in this program, got 3 steps"):
        program.load(SEEDS, inputs, schedule("cm", 3))
    with pytest.raises(ContractError, match="expected 3 steps, without history as in this program, got 3 steps"):
        program_of(schedule("cm", 3)).load(SEEDS, inputs, schedule("dpmpp-2m", 3))
    with pytest.raises(ContractError, match="schedule cm: expected it without guidance as in this program"):
        program.load(SEEDS, inputs, schedule("cm", 2).guided(2))
    with pytest.raises(InputError, match="input labels: expected 0 to 3, got 4 to 4"):
        program.load(SEEDS, {"labels": torch.full_like(inputs["labels"], 4)}, schedule("cm", 2))


@pytest.mark.parametrize("part", ["denoiser", "decoder"])
def test_nan_is_an_error_that_names_the_images_and_the_next_request_is_sound(part: str, device: str) -> None:
    table = schedule("cm", 1)
    made = small()
    broken = {"on": True}

    def damaged(*args: Tensor) -> Tensor:
        out: Tensor = getattr(made, part)(*args).clone()
        out[1, 0, 2, 1] = float("nan" if broken["on"] else "0")
        return out

    parts = Modules(made.prompt, made.denoiser, made.decoder)
    damage = replace(parts, denoiser=damaged) if part == "denoiser" else replace(parts, decoder=damaged)
    program = Program(made, damage, Shape.of(2, table))
    inputs = made.random_inputs(2, 0)
    with pytest.raises(BackendError, match=r"small: images \[1\] became NaN or Inf"):
        run(program, SEEDS, inputs, table)
    broken["on"] = False
    assert run(program, SEEDS, inputs, table).shape == (2, *SHAPE[1:], 3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a CUDA device")
def test_capturing_needs_a_cuda_device() -> None:
    with pytest.raises(BackendError, match="a captured program needs a CUDA device, got cpu"):
        Captured(program_of(schedule("cm", 1)))


@needs_cuda
def test_captured_is_bit_equal_and_replays_any_request(device: str) -> None:
    one, two = schedule("cm", 2), schedule("euler-ancestral", 2)
    program = program_of(one, torch.float16)
    inputs = [program.generation.random_inputs(2, seed) for seed in (1, 2)]
    requests = [(SEEDS, inputs[0], one), ((8, 9), inputs[1], one), (SEEDS, inputs[0], two), (SEEDS, inputs[0], one)]
    expected = [run(program, *request) for request in requests]
    graph = Captured(program)
    for request, images in zip(requests, expected, strict=True):
        program.load(*request)
        graph.run()
        assert torch.equal(program.result(), images)


def test_pictures_to_change_run_through_the_modules_fused_or_not(device: str) -> None:
    made, table = small(), schedule("euler-ancestral", 3)
    latents, mask = normal(SEEDS, 9, SHAPE), (normal(SEEDS, 8, (1, *SHAPE[1:])) > 0).astype(np.float32)
    job = Job(SEEDS, {"labels": np.array([1, 3])}, table, Start(latents=latents, mask=mask, first=1))
    found = {kind: TorchModel(made, kind=kind) for kind in get_args(Kind)}
    images = [model.run(job)[0].astype(int) for model in found.values()]
    assert abs(images[0] - images[1]).max() <= 1
    kept = found["eager"].latents(job) == latents
    assert kept[np.broadcast_to(mask == 0, kept.shape)].all() and not kept[np.broadcast_to(mask == 1, kept.shape)].any()
    assert found["fused"]._backend.reports and not found["eager"]._backend.reports
    with pytest.raises(ContractError, match="small has no encoder of pictures"):
        found["eager"].encode(latents)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_guidance_comes_and_goes_from_request_to_request(kind: Kind, device: str) -> None:
    made, plain, labels, null = small(), schedule("euler-ancestral", 2), np.array([1, 3]), np.array([0, 0])
    model = TorchModel(made, kind=kind)

    def images(table: Schedule | GuidedSchedule, **inputs: np.ndarray) -> np.ndarray:
        return model.run(Job(SEEDS, inputs, table))[0].astype(int)

    conditional, unconditional = images(plain, labels=labels), images(plain, labels=null)
    far = images(plain.guided(3), labels=labels, null_labels=null)
    assert abs(images(plain.guided(1), labels=labels, null_labels=null) - conditional).max() <= 1
    assert abs(images(plain.guided(0), labels=labels, null_labels=null) - unconditional).max() <= 1
    assert abs(far - conditional).max() > 10
    assert np.array_equal(images(plain, labels=labels), conditional)
    given = Start(noise=[stream(seed, SHAPE) for seed in SEEDS])
    job = Job(SEEDS, {"labels": labels, "null_labels": null}, plain.guided(3), given)
    assert abs(model.run(job)[0].astype(int) - far).max() <= 1
    with pytest.raises(InputError, match="input null_labels: expected 0 to 3, got 4 to 4"):
        images(plain.guided(3), labels=labels, null_labels=labels * 0 + 4)

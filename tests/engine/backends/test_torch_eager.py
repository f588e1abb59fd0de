"""The eager loop against the schedule's definition, written out in float64."""

import numpy as np
import pytest
import torch
from small_generation import SEEDS, SHAPE, small
from torch import Tensor

from fewstep.engine.backends.torch.eager import generate, to_bytes
from fewstep.engine.image import to_uint8
from fewstep.engine.noise import normal
from fewstep.engine.schedule import schedule
from fewstep.errors import ContractError


def written_out(name: str, N: int, labels: list[int], guidance: float = 1.0, null: int = 0) -> np.ndarray:
    """The picture of docs/schedules.md's general form, image by image."""
    t = schedule(name, N)
    pictures = []
    for seed, label in zip(SEEDS, labels, strict=True):
        x = t.init * normal([seed], 0, SHAPE)[0].astype(np.float64)
        h = np.zeros(SHAPE)
        for i in range(N):
            u = t.s_in[i] * x * 0.5 + t.tau[i] / 1000
            m = (1 - guidance) * np.tanh(u + null * 0.25) + guidance * np.tanh(u + label * 0.25)
            y = np.clip(t.p[i] * x + t.q[i] * m, -t.r[i], t.r[i])
            z = normal([seed], i + 1, SHAPE)[0].astype(np.float64)
            x = t.a[i] * x + t.b[i] * m + t.d[i] * y + t.e[i] * h + t.c[i] * z
            h = y
        pictures.append(t.out_scale * x / 2)
    return np.stack(pictures)


@pytest.mark.parametrize("name", ["cm", "flow-euler", "euler-ancestral", "dpmpp-2m", "scm"])
@pytest.mark.parametrize("N", [1, 2, 4])
def test_runs_the_general_form(name: str, N: int) -> None:
    labels = [0, 3]
    made = small()
    inputs = {"labels": torch.tensor(labels, device=made.device)}
    got = generate(made, inputs, SEEDS, schedule(name, N)).cpu().numpy()
    truth = (written_out(name, N, labels).transpose(0, 2, 3, 1) + 1) * 127.5
    assert np.abs(got - truth.clip(0, 255)).max() <= 0.501


@pytest.mark.parametrize("name", ["cm", "ddim", "euler-ancestral", "dpmpp-2m"])
def test_runs_the_general_form_with_guidance(name: str) -> None:
    labels, null = [0, 3], 2
    made = small()
    inputs = {"labels": torch.tensor(labels), "null_labels": torch.tensor([null, null])}
    given = {key: values.to(made.device) for key, values in inputs.items()}
    got = generate(made, given, SEEDS, schedule(name, 3).guided(1.75)).cpu().numpy()
    truth = (written_out(name, 3, labels, 1.75, null).transpose(0, 2, 3, 1) + 1) * 127.5
    assert np.abs(got - truth.clip(0, 255)).max() <= 0.501


def test_the_network_sees_its_own_dtype_and_the_state_stays_float32() -> None:
    seen = []
    made = small(torch.bfloat16)
    made.denoiser.register_forward_pre_hook(lambda _, args: seen.append((args[0].dtype, args[1].dtype)))
    made.decoder.register_forward_pre_hook(lambda _, args: seen.append((args[0].dtype, torch.float32)))
    generate(made, made.random_inputs(2, 0), SEEDS, schedule("cm", 1))
    assert seen == [(torch.bfloat16, torch.float32), (torch.float32, torch.float32)]


def test_other_noise_may_be_given() -> None:
    made, table = small(), schedule("cm", 2)
    steps = []

    def draw(step: int) -> Tensor:
        steps.append(step)
        return torch.from_numpy(normal(SEEDS, step, SHAPE)).to(made.device)

    inputs = made.random_inputs(2, 0)
    assert torch.equal(generate(made, inputs, SEEDS, table, draw), generate(made, inputs, SEEDS, table))
    assert steps == [0, 1, 2]


def test_bytes_are_the_engine_s() -> None:
    x = torch.cat([torch.linspace(-1.1, 1.1, 501), torch.tensor([-9.0, 9.0, 0.0])]).reshape(1, 3, 8, 21)
    assert np.array_equal(to_bytes(x).numpy(), to_uint8(x.numpy()))


def test_a_network_of_two_times_is_refused() -> None:
    made = small()
    with pytest.raises(ContractError, match="schedule meanflow needs a network of two times"):
        generate(made, made.random_inputs(2, 0), SEEDS, schedule("meanflow", 2))

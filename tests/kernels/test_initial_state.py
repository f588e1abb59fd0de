import math
from itertools import pairwise

import pytest
import torch
from testing import assert_as_good_as, guarded

from fewstep.engine.noise import normal
from fewstep.errors import InputError
from fewstep.kernels.initial_state import (
    initial_state,
    initial_state_cost,
    initial_state_launches,
    initial_state_ref,
)
from fewstep.kernels.launch import run_all

SEEDS = (0, 5, 2**63 + 11, 2**64 - 1)
SHAPES = [(1,), (3, 5, 7), (4, 16, 16), (511,), (513,)]


def on(device: str, seeds: tuple[int, ...] = SEEDS) -> torch.Tensor:
    return guarded(torch.tensor([seed - 2**64 if seed >= 2**63 else seed for seed in seeds], device=device))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_begins_at_step_zero_of_the_engine_s_stream(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    scales = guarded(torch.tensor([14.6, 0.0683], device=device))
    z = torch.from_numpy(normal(SEEDS, 0, shape)).to(device)
    x, u = initial_state(on(device), scales, shape, dtype)
    assert x.shape == u.shape == (4, *shape) and x.dtype == torch.float32 and u.dtype == dtype
    assert (x - 14.6 * z).abs().max() <= 14.6 * 1.1e-6
    truth = initial_state_ref(x.double() / scales[0].double(), scales, torch.float64)
    eager = initial_state_ref(x / scales[0], scales, dtype)
    assert_as_good_as(u, eager[1], truth[1])


def test_blocks_do_not_show(device: str) -> None:
    scales = torch.tensor([2.0, 0.5], device=device)
    made = []
    for block in (16, 64, 256):
        outputs, launches = initial_state_launches(
            on(device), scales, (99,), torch.float32, config={"BLOCK": block, "num_warps": 1}
        )
        run_all(launches)
        made.append(outputs)
    assert all(torch.equal(a, b) for one, two in pairwise(made) for a, b in zip(one, two, strict=True))
    assert torch.equal(made[0][0] * 0.5, made[0][1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": torch.zeros(0, dtype=torch.int64)}, r"seeds: expected shape \(any\), got \(0,\)"),
        ({"seeds": torch.zeros(2)}, "seeds: expected dtype int64, got float32"),
        ({"scales": torch.zeros(3)}, r"scales: expected shape \(2\), got \(3,\)"),
        ({"scales": torch.zeros(2, dtype=torch.float64)}, "scales: expected dtype float32, got float64"),
        ({"shape": (0, 3)}, "elements of the shape: expected a whole number from 1"),
        ({"dtype": torch.int32}, "u: expected dtype float16 or bfloat16 or float32, got int32"),
        ({"scales": torch.zeros(2, device="meta")}, "expected tensors on one device"),
    ],
)
def test_refuses(change: dict[str, object], message: str, device: str) -> None:
    right = {"seeds": on("cpu"), "scales": torch.ones(2), "shape": (3,), "dtype": torch.float32}
    with pytest.raises(InputError, match=message):
        initial_state(**{**right, **change})  # type: ignore[arg-type]


def test_counts_what_it_writes() -> None:
    cost = initial_state_cost(torch.zeros(2, dtype=torch.int64), torch.zeros(2), (3, 5), torch.bfloat16)
    assert cost == (2 * 8 + 2 * 4 + 2 * math.prod((3, 5)) * (4 + 2), 57 * 30)

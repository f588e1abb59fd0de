from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.gated_residual_norm import (
    gated_residual_norm,
    gated_residual_norm_cost,
    gated_residual_norm_launches,
    gated_residual_norm_ref,
)
from fewstep.kernels.launch import run_all
from fewstep.kernels.modulation import Norm

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SHAPES = [(1, 1, 1), (2, 7, 64), (3, 5, 100), (1, 3, 3840)]
NORMS: list[Norm] = ["layer", "rms"]


def check(config: Any = None, **arguments: Any) -> None:
    got, launches = gated_residual_norm_launches(**arguments, config=config)
    run_all(launches)
    doubled: dict[str, Any] = {k: a.double() if isinstance(a, Tensor) else a for k, a in arguments.items()}
    for triple in zip(got, gated_residual_norm_ref(**arguments), gated_residual_norm_ref(**doubled), strict=True):
        assert_as_good_as(*triple)


def random(device: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return guarded(torch.randn(shape, device=device, dtype=dtype) + 1)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("B", "N", "D"), SHAPES, ids=str)
def test_adds_and_modulates(B: int, N: int, D: int, dtype: torch.dtype, norm: Norm, device: str) -> None:
    x, branch = (random(device, B, N, D, dtype=dtype) for _ in range(2))
    gate, scale, shift = (random(device, B, D, dtype=dtype) for _ in range(3))
    got = gated_residual_norm(x, branch, gate, scale, shift, norm=norm)
    eager = gated_residual_norm_ref(x, branch, gate, scale, shift, norm=norm)
    exact = gated_residual_norm_ref(*(t.double() for t in (x, branch, gate, scale, shift)), norm=norm)
    for triple in zip(got, eager, exact, strict=True):
        assert_as_good_as(*triple)


GIVEN = ["", "gate", "weight", "bias", "scale", "shift", "branch_weight", "branch_weight gate weight bias scale shift"]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("given", GIVEN)
def test_each_term_may_be_absent(given: str, norm: Norm, device: str) -> None:
    terms = {k: random(device, 24) if k.endswith(("weight", "bias")) else random(device, 2, 24) for k in given.split()}
    check(x=random(device, 2, 5, 24), branch=random(device, 2, 5, 24), norm=norm, **terms)


@pytest.mark.parametrize("eps", [1e-6, 0.3])
def test_each_norm_has_its_own_epsilon(eps: float, device: str) -> None:
    x, branch = 0.1 * random(device, 1, 2, 24), 0.1 * random(device, 1, 2, 24)
    check(x=x, branch=branch, branch_weight=random(device, 24), norm="rms", eps=eps, branch_eps=0.4 - eps)


def test_branch_epsilon_is_that_of_z_image(device: str) -> None:
    x, branch = random(device, 1, 2, 24), 1e-3 * random(device, 1, 2, 24)
    check(x=x, branch=branch, branch_weight=random(device, 24), norm="rms")


@pytest.mark.parametrize("token", ["gate", "scale", "shift"])
@pytest.mark.parametrize("N", [3, 4, 5])
def test_rows_around_a_block_and_modulation_of_each_token(N: int, token: str, device: str) -> None:
    terms = {k: random(device, 2, N, 24) if k == token else random(device, 2, 24) for k in ("gate", "scale", "shift")}
    x, branch = random(device, 2, N, 24), random(device, 2, N, 24)
    check(x=x, branch=branch, **terms, config={"BLOCK_N": 4})


@pytest.mark.parametrize("D", [31, 32, 33])
def test_columns_around_a_block(D: int, device: str) -> None:
    x, branch = random(device, 1, 2, D), random(device, 1, 2, D)
    check(x=x, branch=branch, branch_weight=random(device, D))


def test_takes_strided_views(device: str) -> None:
    x = random(device, 2, 6, 16)[:, ::2]
    branch = random(device, 3, 2, 40).transpose(0, 1)[..., 8:24]
    gate, scale, shift = random(device, 2, 48).chunk(3, dim=-1)
    check(x=x, branch=branch, gate=gate, scale=scale, shift=shift)
    per_token = random(device, 2, 6, 48)[:, ::2].chunk(3, dim=-1)
    check(x=x, branch=branch, gate=per_token[0], scale=per_token[1], shift=per_token[2])


def test_a_sum_that_cancels_is_normalised_before_it_is_rounded(device: str) -> None:
    x = (8 + torch.rand(1, 4, 64, device=device)).bfloat16()
    branch = (0.01 * torch.randn(1, 4, 64, device=device) - 8).bfloat16()
    check(x=guarded(x), branch=guarded(branch))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "branch": ({"branch": torch.ones(2, 4, 8)}, r"branch: expected shape \(2, 3, 8\), got \(2, 4, 8\)"),
    "kind": ({"branch": torch.ones(2, 3, 8).int()}, "branch: expected dtype .*, got int32"),
    "stride": ({"branch": torch.ones(2, 8, 3).mT}, "branch: expected stride 1 in the last axis"),
    "gate": ({"gate": torch.ones(8)}, r"gate: expected shape \(2, 3, 8\), got \(8,\)"),
    "weight": ({"branch_weight": torch.ones(7)}, r"branch_weight: expected shape \(8\), got \(7,\)"),
    "norm": ({"norm": "group"}, "norm: expected 'layer' or 'rms', got 'group'"),
    "device": ({"gate": torch.ones(2, 8, device="meta")}, "expected tensors on one device"),
}


@pytest.mark.parametrize("bad", BAD)
def test_refuses(bad: str, device: str) -> None:
    arguments, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        gated_residual_norm(**{"x": torch.ones(2, 3, 8), "branch": torch.ones(2, 3, 8)} | arguments)


def test_describes_a_launch_without_memory() -> None:
    x, gate = torch.empty(1, 4352, 3072, device="meta"), torch.empty(1, 3072, device="meta")
    (y, x_new), [launch] = gated_residual_norm_launches(x, x, gate, arch=90)
    assert y.shape == x_new.shape == x.shape and launch.grid == (4352, 1, 1)
    assert gated_residual_norm_cost(x, x, gate).bytes == 4 * (4 * x.numel() + gate.numel())

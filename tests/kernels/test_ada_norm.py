from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.ada_norm import ada_norm, ada_norm_cost, ada_norm_launches, ada_norm_ref
from fewstep.kernels.launch import run_all
from fewstep.kernels.modulation import Norm

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SHAPES = [(1, 1, 1), (2, 7, 64), (3, 5, 100), (1, 3, 3072)]
NORMS: list[Norm] = ["layer", "rms"]


def check(config: Any = None, **arguments: Any) -> None:
    y, launches = ada_norm_launches(**arguments, config=config)
    run_all(launches)
    doubled: dict[str, Any] = {k: a.double() if isinstance(a, Tensor) else a for k, a in arguments.items()}
    assert_as_good_as(y, ada_norm_ref(**arguments), ada_norm_ref(**doubled))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("B", "N", "D"), SHAPES, ids=str)
def test_modulates(B: int, N: int, D: int, dtype: torch.dtype, norm: Norm, device: str) -> None:
    x = guarded(torch.randn(B, N, D, device=device, dtype=dtype) + 1)  # a mean, or a lost mask goes unseen
    scale, shift = (guarded(m) for m in torch.randn(2, B, D, device=device, dtype=dtype))
    truth = ada_norm_ref(x.double(), scale.double(), shift.double(), norm=norm)
    got = ada_norm(x, scale, shift, norm=norm)
    assert_as_good_as(got, ada_norm_ref(x, scale, shift, norm=norm), truth)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("given", ["", "weight", "bias", "scale", "shift", "weight bias", "weight bias scale shift"])
def test_each_term_may_be_absent(given: str, norm: Norm, device: str) -> None:
    sizes = {"weight": (24,), "bias": (24,), "scale": (2, 24), "shift": (2, 24)}
    terms = {name: guarded(torch.randn(sizes[name], device=device)) for name in given.split()}
    check(x=guarded(torch.randn(2, 5, 24, device=device) + 1), norm=norm, **terms)


@pytest.mark.parametrize("BLOCK_N", [1, 4, 8])
@pytest.mark.parametrize("N", [3, 4, 5])
def test_rows_around_a_block(N: int, BLOCK_N: int, device: str) -> None:
    x = guarded(torch.randn(2, N, 24, device=device) + 1)
    scale, shift = guarded(torch.randn(2, 24, device=device)), guarded(torch.randn(2, N, 24, device=device))
    check(x=x, scale=scale, shift=shift, config={"BLOCK_N": BLOCK_N})
    check(x=x, scale=shift, shift=scale, config={"BLOCK_N": BLOCK_N})


@pytest.mark.parametrize("D", [31, 32, 33])
def test_columns_around_a_block(D: int, device: str) -> None:
    check(x=guarded(torch.randn(1, 2, D, device=device) + 1))


@pytest.mark.parametrize("norm", NORMS)
def test_takes_strided_views_and_modulation_of_each_token(norm: Norm, device: str) -> None:
    x = guarded(torch.randn(2, 6, 16, device=device) + 1)[:, ::2]
    scale, shift = guarded(torch.randn(2, 3, 32, device=device)).chunk(2, dim=-1)
    check(x=x, scale=scale, shift=shift, norm=norm)
    check(x=x.transpose(0, 1), scale=scale.transpose(0, 1), shift=shift[:1].transpose(0, 1)[:, 0], norm=norm)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_constant_and_tiny_rows(norm: Norm, eps: float, device: str) -> None:
    x = torch.stack([torch.zeros(32), torch.ones(32), 1e-3 * torch.randn(32), 1e3 + torch.randn(32)])
    check(x=guarded(x[None].to(device)), norm=norm, eps=eps)


@pytest.mark.parametrize("norm", NORMS)
def test_squares_that_fp16_cannot_hold(norm: Norm, device: str) -> None:
    x = guarded(6e4 * torch.rand(1, 2, 64, device=device).half())
    check(x=x, norm=norm, weight=guarded(torch.rand(64, device=device).half()))


def test_modulation_of_another_dtype(device: str) -> None:
    x = torch.randn(1, 2, 32, device=device).bfloat16()
    scale, shift = torch.randn(2, 1, 32, device=device)
    truth = ada_norm_ref(x.double(), scale.double(), shift.double())
    assert_as_good_as(ada_norm(x, scale, shift), ada_norm_ref(x, scale, shift).bfloat16(), truth)


def test_the_same_input_gives_the_same_bits(device: str) -> None:
    x = torch.randn(2, 3, 40, device=device)
    assert torch.equal(ada_norm(x), ada_norm(x))


def test_widest_row(device: str) -> None:
    check(x=torch.randn(1, 1, 16384, device=device))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "rank": ({"x": torch.ones(2, 8)}, r"x: expected shape \(any, any, any\), got \(2, 8\)"),
    "empty": ({"x": torch.ones(2, 0, 8)}, r"x: expected shape \(any, any, any\), got \(2, 0, 8\)"),
    "dtype": ({"x": torch.ones(1, 1, 8).double()}, "x: expected dtype float16 or bfloat16 or float32, got float64"),
    "wide": ({"x": torch.ones(1, 1, 16385)}, "D: expected a whole number from 1 to 16384, got 16385"),
    "many": ({"x": torch.ones(65536, 1, 1)}, "B: expected a whole number from 1 to 65535, got 65536"),
    "stride": ({"x": torch.ones(1, 8, 2).mT}, "x: expected stride 1 in the last axis"),
    "norm": ({"x": torch.ones(1, 1, 8), "norm": "batch"}, "norm: expected 'layer' or 'rms', got 'batch'"),
    "shift": ({"x": torch.ones(2, 3, 8), "shift": torch.ones(2, 7)}, r"shift: expected shape \(2, 8\), got \(2, 7\)"),
    "token": ({"x": torch.ones(2, 3, 8), "scale": torch.ones(2, 1, 8)}, r"scale: expected shape \(2, 3, 8\)"),
    "weight": ({"x": torch.ones(2, 3, 8), "weight": torch.ones(1, 8)}, r"weight: expected shape \(8\), got \(1, 8\)"),
    "bias": ({"x": torch.ones(2, 3, 8), "bias": torch.ones(9)}, r"bias: expected shape \(8\), got \(9,\)"),
    "whole": ({"x": torch.ones(2, 3, 8), "bias": torch.ones(8).int()}, "bias: expected dtype .*, got int32"),
    "steps": ({"x": torch.ones(2, 3, 8), "bias": torch.ones(16)[::2]}, "bias: expected stride 1 in the last axis"),
    "device": ({"x": torch.ones(2, 3, 8), "bias": torch.ones(8, device="meta")}, "expected tensors on one device"),
}


@pytest.mark.parametrize("bad", BAD)
def test_refuses(bad: str, device: str) -> None:
    arguments, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        ada_norm(**arguments)


def test_describes_a_launch_without_memory() -> None:
    x, scale = torch.empty(2, 9, 320, device="meta"), torch.empty(2, 320, device="meta")
    y, [launch] = ada_norm_launches(x, scale, arch=90)
    assert y.shape == x.shape and launch.grid == (5, 2, 1)
    assert launch.constants["shift_ptr"] is None and launch.args["scale_ptr"] is scale
    assert ada_norm_cost(x, scale).bytes == 4 * (2 * x.numel() + scale.numel())


def test_writes_where_it_is_told(device: str) -> None:
    x, wide = torch.randn(2, 5, 48, device=device), torch.full((2, 5, 64), float("nan"), device=device)
    y, launches = ada_norm_launches(x, out=wide[..., 8:56])
    run_all(launches)
    assert torch.allclose(y, ada_norm_ref(x), rtol=1e-5, atol=1e-5)
    assert wide[..., :8].isnan().all() and wide[..., 56:].isnan().all()
    with pytest.raises(InputError, match=r"out: expected shape \(2, 5, 48\), got"):
        ada_norm_launches(x, out=wide)

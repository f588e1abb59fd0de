from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.gelu import Kind, gelu, gelu_cost, gelu_launches, gelu_ref
from fewstep.kernels.launch import run_all

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
KINDS: list[Kind] = ["erf", "tanh", "silu"]


def random(device: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return guarded(2 * torch.randn(shape, device=device, dtype=dtype) + 1)


def check(x: Tensor, kind: Kind, bias: Tensor | None = None, config: Any = None) -> None:
    y, launches = gelu_launches(x, kind=kind, bias=bias, config=config)
    run_all(launches)
    truth = gelu_ref(x.double(), kind=kind, bias=None if bias is None else bias.double())
    assert_as_good_as(y, gelu_ref(x, kind=kind, bias=bias), truth)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 33), (2, 3, 100), (1, 2, 3072), (2, 2, 2, 40)], ids=str)
def test_activates(shape: tuple[int, ...], dtype: torch.dtype, kind: Kind, device: str) -> None:
    x, bias = random(device, *shape, dtype=dtype), random(device, shape[-1], dtype=dtype)
    check(x, kind, bias)


@pytest.mark.parametrize("D", [15, 16, 17, 33])
@pytest.mark.parametrize("N", [1, 2, 3, 5])
def test_around_a_block(N: int, D: int, device: str) -> None:
    config = {"BLOCK_N": 2, "BLOCK_D": 16}
    check(random(device, 2, N, D), "silu", random(device, D), config)
    check(random(device, 2, N, D), "erf", None, config)


@pytest.mark.parametrize("kind", KINDS)
def test_by_default_there_is_no_bias_and_erf_is_meant(kind: Kind, device: str) -> None:
    x = random(device, 2, 3, 24)
    assert_as_good_as(gelu(x, kind=kind), gelu_ref(x, kind=kind), gelu_ref(x.double(), kind=kind))
    assert torch.equal(gelu(x), gelu(x, kind="erf"))


def test_tails_of_gelu_keep_their_digits(device: str) -> None:
    x = torch.arange(-2400, 2401, device=device) / 200
    exact = x.double() * torch.special.erfc(-x.double() / 2**0.5) / 2
    eager = x * torch.special.erfc(-x * 0.5**0.5) / 2
    exact[x == 0] = eager[x == 0] = 1
    y = gelu(guarded(x))
    assert y[x == 0] == 0
    y[x == 0] = 1
    ratios = (y.double() / exact).float(), (eager.double() / exact).float(), torch.ones_like(exact)
    assert_as_good_as(*ratios)
    near = (x > -4).nonzero().squeeze()  # here an error of one part in a million is not lost beside the tail's
    assert_as_good_as(*(ratio[near] for ratio in ratios))


@pytest.mark.parametrize("kind", ["tanh", "silu"])
def test_tails_of_sigmoids_keep_their_digits(kind: Kind, device: str) -> None:
    x = torch.arange(-1600, 1601, device=device) / 200
    v = x.double()
    u = v if kind == "silu" else 2 * (2 / torch.pi) ** 0.5 * (v + 0.044715 * v**3)
    exact = v * u.sigmoid()
    eager = x * (u.float()).sigmoid()
    exact[x == 0] = eager[x == 0] = 1
    y = gelu(guarded(x), kind=kind)
    y[x == 0] = 1
    assert_as_good_as((y.double() / exact).float(), (eager.double() / exact).float(), torch.ones_like(exact))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_overflows(kind: Kind, device: str) -> None:
    x = torch.tensor([-65504.0, -1000.0, -100.0, -11.0, 0.0, 11.0, 100.0, 65504.0], device=device)
    check(guarded(x), kind)
    check(guarded(x.half()), kind)
    assert torch.equal(gelu(x, kind=kind)[[0, 4, 7]], torch.tensor([0.0, 0.0, 65504.0], device=device))


@pytest.mark.parametrize("kind", KINDS)
def test_takes_strided_views_and_writes_into_a_buffer(kind: Kind, device: str) -> None:
    x = random(device, 2, 6, 40)[:, ::2, 8:24]
    buffer = guarded(torch.zeros(3, 2, 48, device=device))
    y = gelu(x, kind=kind, out=buffer.transpose(0, 1)[..., 8:24])
    assert_as_good_as(y, gelu_ref(x, kind=kind), gelu_ref(x.double(), kind=kind))
    assert torch.equal(buffer.transpose(0, 1)[..., 8:24], y)
    assert buffer[..., :8].eq(0).all() and buffer[..., 24:].eq(0).all()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "scalar": ({"x": torch.ones(())}, r"x: expected shape \(any\), got \(\)"),
    "empty": ({"x": torch.ones(0, 8)}, r"x: expected shape \(any, any\), got \(0, 8\)"),
    "dtype": ({"x": torch.ones(8).int()}, "x: expected dtype .*, got int32"),
    "stride": ({"x": torch.ones(8, 2).mT}, "x: expected stride 1 in the last axis"),
    "axes": ({"x": torch.ones(4, 4, 2, 8)[::2, ::2]}, "x: expected leading axes that collapse into one, got strides"),
    "many": ({"x": torch.ones(65536, 1, 1)}, "x's samples: expected a whole number from 1 to 65535, got 65536"),
    "kind": ({"x": torch.ones(8), "kind": "relu"}, "kind: expected 'erf' or 'tanh' or 'silu', got 'relu'"),
    "bias": ({"x": torch.ones(8), "bias": torch.ones(7)}, r"bias: expected shape \(8\), got \(7,\)"),
    "whole": ({"x": torch.ones(8), "bias": torch.ones(8).int()}, "bias: expected dtype .*, got int32"),
    "steps": ({"x": torch.ones(8), "bias": torch.ones(16)[::2]}, "bias: expected stride 1 in the last axis"),
    "out": ({"x": torch.ones(8), "out": torch.ones(1, 8)}, r"out: expected shape \(8\), got \(1, 8\)"),
    "half": ({"x": torch.ones(8), "out": torch.ones(8).half()}, "out: expected dtype float32, got float16"),
    "device": ({"x": torch.ones(8), "bias": torch.ones(8, device="meta")}, "expected tensors on one device"),
    "elsewhere": ({"x": torch.ones(8), "out": torch.ones(8, device="meta")}, "expected tensors on one device"),
}


@pytest.mark.parametrize("bad", BAD)
def test_refuses(bad: str, device: str) -> None:
    arguments, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        gelu(**arguments)


def test_describes_a_launch_without_memory() -> None:
    x, bias = torch.empty(1, 4352, 12288, device="meta"), torch.empty(12288, device="meta")
    y, [launch] = gelu_launches(x, kind="tanh", bias=bias, arch=90)
    assert y.shape == x.shape and launch.grid == (2176 * 12, 1, 1)
    assert gelu_cost(x, bias=bias).bytes == 4 * (2 * x.numel() + bias.numel())

from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.glu import Gate, Kind, glu, glu_cost, glu_launches, glu_ref
from fewstep.kernels.launch import run_all

DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def random(device: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return guarded(2 * torch.randn(shape, device=device, dtype=dtype) + 1)


def check(x: Tensor, kind: Kind, gate: Gate, bias: Tensor | None = None, config: Any = None) -> None:
    y, launches = glu_launches(x, kind=kind, gate=gate, bias=bias, config=config)
    run_all(launches)
    truth = glu_ref(x.double(), kind=kind, gate=gate, bias=None if bias is None else bias.double())
    assert_as_good_as(y, glu_ref(x, kind=kind, gate=gate, bias=bias), truth)


@pytest.mark.parametrize(("kind", "gate"), [("geglu", "second"), ("geglu_tanh", "first"), ("swiglu", "second")])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(2,), (3, 66), (2, 3, 200), (1, 2, 2560), (2, 2, 2, 40)], ids=str)
def test_gates(shape: tuple[int, ...], dtype: torch.dtype, kind: Kind, gate: Gate, device: str) -> None:
    check(random(device, *shape, dtype=dtype), kind, gate, random(device, shape[-1], dtype=dtype))


def test_by_default_the_second_half_gates_by_gelu(device: str) -> None:
    x = random(device, 2, 3, 24)
    assert_as_good_as(glu(x), glu_ref(x, kind="geglu", gate="second"), glu_ref(x.double(), kind="geglu", gate="second"))


@pytest.mark.parametrize("D", [15, 16, 17, 33])
@pytest.mark.parametrize("N", [1, 2, 3, 5])
def test_around_a_block(N: int, D: int, device: str) -> None:
    config = {"BLOCK_N": 2, "BLOCK_D": 16}
    check(random(device, 2, N, 2 * D), "swiglu", "second", random(device, 2 * D), config)
    check(random(device, 2, N, 2 * D), "swiglu", "first", None, config)


def test_takes_strided_views_and_writes_into_a_buffer(device: str) -> None:
    x = random(device, 2, 6, 40)[:, ::2, 8:24]
    buffer = guarded(torch.zeros(3, 2, 24, device=device))
    y = glu(x, kind="swiglu", out=buffer.transpose(0, 1)[..., 8:16])
    assert_as_good_as(y, glu_ref(x, kind="swiglu"), glu_ref(x.double(), kind="swiglu"))
    assert torch.equal(buffer.transpose(0, 1)[..., 8:16], y)
    assert buffer[..., :8].eq(0).all() and buffer[..., 16:].eq(0).all()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "odd": ({"x": torch.ones(3, 7)}, r"x: expected an even last axis, got shape \(3, 7\)"),
    "dtype": ({"x": torch.ones(8).int()}, "x: expected dtype .*, got int32"),
    "kind": ({"x": torch.ones(8), "kind": "reglu"}, "kind: expected 'geglu' or .*, got 'reglu'"),
    "gate": ({"x": torch.ones(8), "gate": "third"}, "gate: expected 'first' or 'second', got 'third'"),
    "bias": ({"x": torch.ones(8), "bias": torch.ones(4)}, r"bias: expected shape \(8\), got \(4,\)"),
    "whole": ({"x": torch.ones(8), "bias": torch.ones(8).int()}, "bias: expected dtype .*, got int32"),
    "steps": ({"x": torch.ones(8), "bias": torch.ones(16)[::2]}, "bias: expected stride 1 in the last axis"),
    "out": ({"x": torch.ones(8), "out": torch.ones(8)}, r"out: expected shape \(4\), got \(8,\)"),
    "device": ({"x": torch.ones(8), "bias": torch.ones(8, device="meta")}, "expected tensors on one device"),
    "elsewhere": ({"x": torch.ones(8), "out": torch.ones(4, device="meta")}, "expected tensors on one device"),
}


@pytest.mark.parametrize("bad", BAD)
def test_refuses(bad: str, device: str) -> None:
    arguments, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        glu(**arguments)


def test_describes_a_launch_without_memory() -> None:
    x, bias = torch.empty(1, 4096, 2560, device="meta"), torch.empty(2560, device="meta")
    y, [launch] = glu_launches(x, bias=bias, arch=90)
    assert y.shape == (1, 4096, 1280) and launch.grid == (512 * 5, 1, 1)
    assert glu_cost(x, bias=bias).bytes == 4 * (x.numel() + y.numel() + bias.numel())

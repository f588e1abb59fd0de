from typing import Any

import numpy as np
import pytest
import torch
from testing import assert_as_good_as, guarded

from fewstep.engine.image import to_uint8 as engine_to_uint8
from fewstep.errors import InputError
from fewstep.kernels.decode import (
    scale_latent,
    scale_latent_cost,
    scale_latent_launches,
    scale_latent_ref,
    to_uint8,
    to_uint8_cost,
    to_uint8_launches,
    to_uint8_ref,
)
from fewstep.kernels.launch import run_all

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
VIEWS = [
    lambda x: x,
    lambda x: x.to(memory_format=torch.channels_last),
    lambda x: x[::2, 1:3],
    lambda x: x.to(memory_format=torch.channels_last)[:, 1:],
    lambda x: x.to(memory_format=torch.channels_last)[:, :, :, 1:],
    lambda x: x[:, :, 1:-1, 2:],
    lambda x: x[:, :, ::2],
    lambda x: x.to(memory_format=torch.channels_last)[:, :, 1:2],
    lambda x: x[:, :, :, 1:2],
    lambda x: x.mT,
]


def image(*shape: int, device: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return guarded((torch.randn(*shape, device=device) + 0.2).to(dtype))


def check_bytes(x: torch.Tensor, config: dict[str, int] | None = None, **numbers: Any) -> None:
    y, launches = to_uint8_launches(x, config=config, **numbers)
    run_all(launches)
    assert y.is_contiguous() and torch.equal(y, to_uint8_ref(x, **numbers))


def check_latent(x: torch.Tensor, scale: Any, shift: Any, config: dict[str, int] | None = None) -> None:
    y, launches = scale_latent_launches(x, scale, shift, config=config)
    run_all(launches)
    doubled: Any = (m.double() if isinstance(m, torch.Tensor) else m for m in (x, scale, shift))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert_as_good_as(y, scale_latent_ref(x, scale, shift), scale_latent_ref(*doubled))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (1, 3, 40, 50)], ids=str)
def test_bytes_equal_the_engines(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    x = image(*shape, device=device, dtype=dtype)
    assert np.array_equal(to_uint8(x).cpu().numpy(), engine_to_uint8(x.float().cpu().numpy()))


def test_every_level_and_what_lies_between(device: str) -> None:
    levels = torch.linspace(-2, 257, 259 * 16 + 1, device=device)  # halves, which go to the even neighbour, among them
    x = levels / 127.5 - 1
    near = torch.stack([x, x.nextafter(x - 1), x.nextafter(x + 1)])[None, :, None]
    assert np.array_equal(to_uint8(guarded(near)).cpu().numpy(), engine_to_uint8(near.cpu().numpy()))
    assert to_uint8(near).unique().tolist() == list(range(256))


def test_what_is_no_number_is_black(device: str) -> None:
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, 3e38, -3e38], device=device)
    with np.errstate(over="ignore"):
        assert to_uint8(x.reshape(1, 1, 1, 6)).flatten().tolist() == [0, 255, 0, 128, 255, 0]


@pytest.mark.parametrize("view", range(len(VIEWS)))
def test_takes_views(view: int, device: str) -> None:
    x = VIEWS[view](image(3, 4, 5, 6, device=device))
    x = guarded(x) if x.stride(0) else x
    check_bytes(x)
    check_bytes(x, scale=2.0, shift=-0.75)
    check_latent(x, 5.5, -0.25)


@pytest.mark.parametrize("N", [31, 32, 33, 65])
def test_sizes_around_a_block(N: int, device: str) -> None:
    x = image(2, 1, 1, N, device=device)
    check_bytes(x, {"BLOCK": 32})
    check_latent(x, 2.0, 1.0, {"BLOCK": 32})


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("per_channel", ["", "scale", "shift", "scale shift"])
def test_scales_the_latent(per_channel: str, dtype: torch.dtype, device: str) -> None:
    x = image(2, 4, 5, 7, device=device, dtype=dtype)
    rows = {name: image(4, device=device, dtype=dtype) for name in per_channel.split()}
    terms: dict[str, Any] = {"scale": 1 / 0.18215, "shift": 0.1159} | rows
    check_latent(x, **terms)
    check_latent(x, **terms, config={"BLOCK": 64})


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_casts(dtype: torch.dtype, device: str) -> None:
    x = image(1, 4, 3, 3, device=device)
    y = scale_latent(x, dtype=dtype)
    assert y.dtype == dtype and torch.equal(y, x.to(dtype))
    assert torch.equal(scale_latent(y, dtype=torch.float32), y.float())


X = torch.ones(2, 3, 2, 2)
BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "rank": (to_uint8, {"x": X[0]}, r"x: expected shape \(any, any, any, any\), got \(3, 2, 2\)"),
    "dtype": (to_uint8, {"x": X.double()}, "x: expected dtype .*, got float64"),
    "many": (to_uint8, {"x": X[:1, :1, :1, :1].expand(65536, 1, 1, 1)}, "B: expected a whole number from 1 to 65535"),
    "size": (to_uint8, {"x": X[:1, :1, :1, :1].expand(1, 1, 2**15, 2**16)}, r"C \* H \* W: expected a whole number"),
    "nan": (to_uint8, {"x": X, "scale": float("nan")}, "scale: expected a finite number, got nan"),
    "inf": (scale_latent, {"x": X, "shift": float("inf")}, "shift: expected a finite number, got inf"),
    "empty": (scale_latent, {"x": X[:, :0]}, r"x: expected shape \(any, any, any, any\), got \(2, 0, 2, 2\)"),
    "cast": (scale_latent, {"x": X, "dtype": torch.int8}, "dtype: expected float16, bfloat16 or float32"),
    "scale": (scale_latent, {"x": X, "scale": torch.ones(2)}, r"scale: expected shape \(3\), got \(2,\)"),
    "shift": (scale_latent, {"x": X, "shift": torch.ones(3).int()}, "shift: expected dtype .*, got int32"),
    "steps": (scale_latent, {"x": X, "shift": torch.ones(6)[::2]}, "shift: expected stride 1 in the last axis"),
    "device": (scale_latent, {"x": X, "shift": torch.ones(3, device="meta")}, "expected tensors on one device"),
}


@pytest.mark.parametrize("bad", BAD)
def test_refuses(bad: str, device: str) -> None:
    function, arguments, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        function(**arguments)


def test_describes_launches_without_memory() -> None:
    x = torch.empty(1, 3, 512, 512, device="meta", dtype=torch.bfloat16)
    y, [launch] = to_uint8_launches(x, arch=90)
    assert y.shape == (1, 512, 512, 3) and launch.grid == (768, 1, 1)
    latent, _ = scale_latent_launches(x, 2.0, dtype=torch.float32, arch=90)
    assert latent.dtype == torch.float32
    assert to_uint8_cost(x).bytes == 3 * x.numel()
    assert scale_latent_cost(x, 2.0, dtype=torch.float32).bytes == 6 * x.numel()

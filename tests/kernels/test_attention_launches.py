"""What attention refuses, and which kernel it takes where."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.attention import attention, attention_launches, attention_ref
from fewstep.kernels.launch import run_all

REFUSALS: dict[str, tuple[Callable[[Tensor, Tensor], object], str]] = {
    "rank": (lambda q, k: attention(q[0], k, k), r"q: expected shape \(any, any, any, any\), got \(4, 3, 16\)"),
    "no queries": (lambda q, k: attention(q[:, :, :0], k, k), r"q: expected shape .* got \(2, 4, 0, 16\)"),
    "batch": (lambda q, k: attention(q, k[:1], k[:1]), r"k: expected shape \(2, any, any, 16\), got \(1, 2, 5, 16\)"),
    "width": (lambda q, k: attention(q[..., :8], k, k), r"k: expected shape \(2, any, any, 8\), got"),
    "v": (lambda q, k: attention(q, k, k[:, :, 1:]), r"v: expected shape \(2, 2, 5, 16\), got \(2, 2, 4, 16\)"),
    "heads": (lambda q, k: attention(q[:, :3], k, k), "k: expected a number of heads that divides q's 3, got 2"),
    "dtype": (lambda q, k: attention(q.double(), k, k), "q: expected dtype float16 or bfloat16 or float32 or float8"),
    "dtypes": (lambda q, k: attention(q, k.half(), k), "k: expected dtype float32, got float16"),
    "dtype of v": (lambda q, k: attention(q, k, k.half()), "v: expected dtype float32, got float16"),
    "stride of q": (lambda q, k: attention(q.mT.contiguous().mT, k, k), "q: expected stride 1 in the last axis"),
    "stride of k": (lambda q, k: attention(q, k.mT.contiguous().mT, k), "k: expected stride 1 in the last axis"),
    "stride of v": (lambda q, k: attention(q, k, k.mT.contiguous().mT), "v: expected stride 1 in the last axis"),
    "device": (lambda q, k: attention(q, k.to("meta"), k), "expected tensors on one device, got q on"),
    "scale": (lambda q, k: attention(q, k, k, scale=0.0), "scale: expected a positive number, got 0.0"),
    "scale NaN": (lambda q, k: attention(q, k, k, scale=float("nan")), "scale: expected a positive number, got nan"),
    "q_scale": (lambda q, k: attention(q, k, k, q_scale=-1.0), "q_scale: expected a positive number, got -1.0"),
    "v_scale": (lambda q, k: attention(q, k, k, v_scale=0.0), "v_scale: expected a positive number, got 0.0"),
    "k_scale": (lambda q, k: attention(q, k, k, k_scale=float("inf")), "k_scale: expected a positive number, got inf"),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(call: Callable[[Tensor, Tensor], object], message: str, device: str) -> None:
    with pytest.raises(InputError, match=message):
        call(torch.randn(2, 4, 3, 16, device=device), torch.randn(2, 2, 5, 16, device=device))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (torch.ones(3, dtype=torch.int32), r"lengths: expected shape \(2\), got \(3,\)"),
        (torch.ones(2, dtype=torch.int64), "lengths: expected dtype int32, got int64"),
        (torch.ones(4, dtype=torch.int32)[::2], "lengths: expected stride 1 in the last axis"),
    ],
    ids=["shape", "dtype", "stride"],
)
def test_refuses_lengths(lengths: Tensor, message: str, device: str) -> None:
    q = torch.randn(2, 4, 3, 16, device=device)
    with pytest.raises(InputError, match=message):
        attention(q, q, q, lengths=lengths.to(device))


def meta(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


@pytest.mark.parametrize(
    ("B", "H", "D", "message"),
    [(1, 1, 513, "D: expected a whole number from 1 to 512, got 513"),
     (1, 65536, 8, "H: expected a whole number from 1 to 65535, got 65536"),
     (65536, 1, 8, "B: expected a whole number from 1 to 65535, got 65536")],
)  # fmt: skip
def test_refuses_sizes_over_the_limits(B: int, H: int, D: int, message: str) -> None:
    q = meta(B, H, 2, D)
    with pytest.raises(InputError, match=message):
        attention_launches(q, q, q)


def test_refuses_a_small_config_for_many_keys() -> None:
    q = meta(1, 1, 129, 64)
    with pytest.raises(InputError, match="M: expected a whole number from 1 to 128, got 129"):
        attention_launches(q, q, q, config={"BLOCK_N": 16})


@pytest.mark.parametrize(
    ("N", "M", "D", "dtype", "arch", "kernel"),
    [
        (4096, 128, 128, torch.bfloat16, 90, "_small_attention_kernel"),
        (4096, 129, 128, torch.bfloat16, 90, "_attention_kernel"),
        (4096, 77, 160, torch.bfloat16, 90, "_attention_kernel"),
        (4096, 4096, 512, torch.bfloat16, 90, "_attention_kernel"),
        (4096, 4096, 512, torch.bfloat16, 80, "_wide_attention_kernel"),
        (4096, 4096, 256, torch.bfloat16, 80, "_attention_kernel"),
        (4096, 77, 64, torch.float32, 90, "_attention_kernel"),
        (4096, 77, 72, torch.float32, 90, "_wide_attention_kernel"),
    ],
)
def test_takes_the_kernel_that_fits(N: int, M: int, D: int, dtype: torch.dtype, arch: int, kernel: str) -> None:
    q, k = meta(1, 1, N, D, dtype=dtype), meta(1, 1, M, D, dtype=dtype)
    _, (launch,) = attention_launches(q, k, k, arch=arch)
    assert launch.kernel.__name__ == kernel
    assert set(launch.args) | set(launch.constants) == set(launch.kernel.arg_names)


def test_tensor_descriptors_where_the_copy_engine_can_read() -> None:
    q = meta(1, 24, 4096, 128)
    assert attention_launches(q, q, q, arch=90)[1][0].config["IS_TMA"]
    assert not attention_launches(q, q, q, arch=80)[1][0].config["IS_TMA"]
    odd = meta(1, 24, 4096, 132)[..., :128]
    assert not attention_launches(q, odd, q, arch=90)[1][0].config["IS_TMA"]
    assert not attention_launches(q, q, odd, arch=90)[1][0].config["IS_TMA"]
    broadcast = meta(1, 24, 1, 128).expand(-1, -1, 4096, -1)
    assert not attention_launches(q, broadcast, q, arch=90)[1][0].config["IS_TMA"]


def test_small_problems_take_smaller_tiles() -> None:
    few, many = meta(1, 16, 256, 72), meta(1, 16, 4096, 72)
    assert attention_launches(few, few, few, arch=90)[1][0].grid == (4, 16, 1)
    assert attention_launches(many, many, many, arch=90)[1][0].grid == (32, 16, 1)


@pytest.mark.parametrize(
    ("H", "N", "D", "arch", "blocks"),
    [
        (24, 4352, 128, 90, (128, 128)),
        (24, 4352, 128, 80, (128, 64)),
        (10, 4096, 64, 90, (128, 64)),
        (16, 256, 72, 90, (64, 64)),
        (8, 256, 160, 80, (64, 32)),
        (16, 4096, 160, 90, (128, 64)),
        (1, 16384, 512, 90, (64, 32)),
    ],
)
def test_tiles_fit_the_gpu(H: int, N: int, D: int, arch: int, blocks: tuple[int, int]) -> None:
    q = meta(1, H, N, D)
    config = attention_launches(q, q, q, arch=arch)[1][0].config
    assert (config["BLOCK_N"], config["BLOCK_M"]) == blocks


def test_writes_where_it_is_told(device: str) -> None:
    q, k, v = (torch.randn(1, 2, 5, 16, device=device) for _ in range(3))
    wide = torch.full((1, 2, 5, 32), float("nan"), device=device)
    y, launches = attention_launches(q, k, v, out=wide[..., 8:24])
    run_all(launches)
    assert torch.allclose(y, attention_ref(q, k, v), rtol=1e-4, atol=1e-5)
    assert wide[..., :8].isnan().all() and wide[..., 24:].isnan().all()
    with pytest.raises(InputError, match=r"out: expected shape \(1, 2, 5, 16\), got"):
        attention_launches(q, k, v, out=wide)

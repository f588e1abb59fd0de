import pytest
import torch
from testing import guarded

from fewstep.errors import InputError
from fewstep.kernels.launch import run_all
from fewstep.kernels.upsample import upsample2x, upsample2x_cost, upsample2x_launches, upsample2x_ref


def image(*shape: int, device: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return guarded((torch.randn(*shape, device=device) + 1).to(dtype))


def check(x: torch.Tensor, config: dict[str, int] | None = None) -> None:
    y, launches = upsample2x_launches(x, config=config)
    run_all(launches)
    assert torch.equal(y, upsample2x_ref(x))
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (1, 640, 4, 4)], ids=str)
def test_repeats_each_pixel(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    x = image(*shape, device=device, dtype=dtype)
    check(x)
    check(guarded(x.to(memory_format=torch.channels_last)))
    assert torch.equal(upsample2x(x), upsample2x_ref(x))


@pytest.mark.parametrize("C", [3, 4, 5])
@pytest.mark.parametrize("W", [3, 4, 5])
def test_sizes_around_a_block(C: int, W: int, device: str) -> None:
    check(image(2, C, 2, W, device=device), {"BLOCK_P": 8, "BLOCK_C": 4})


def test_takes_views(device: str) -> None:
    x = image(3, 8, 6, 5, device=device)
    for wide in (x, guarded(x.to(memory_format=torch.channels_last))):
        for view in (
            wide[::2, 2:6],
            wide[:, :, 1:-1, 2:],
            wide[:, :, ::2],
            wide[:, :, :, 1:2],
            wide[:, :, 3:4],
            wide.mT,
        ):
            check(view)


def test_keeps_what_is_no_number(device: str) -> None:
    x = image(1, 2, 2, 2, device=device)
    x[0, 0, 0, 0], x[0, 1, 1, 1] = float("nan"), float("inf")
    assert torch.equal(upsample2x(x).nan_to_num(5), upsample2x_ref(x).nan_to_num(5))


BAD = {
    "rank": (torch.ones(2, 8, 4), r"x: expected shape \(any, any, any, any\), got \(2, 8, 4\)"),
    "empty": (torch.ones(2, 0, 4, 4), r"x: expected shape \(any, any, any, any\), got \(2, 0, 4, 4\)"),
    "dtype": (torch.ones(1, 1, 2, 2).int(), "x: expected dtype .*, got int32"),
    "wide": (torch.ones(1, 1, 1, 1).expand(1, 2**20 + 1, 1, 1), "C: expected a whole number from 1 to 1048576"),
    "many": (torch.ones(65536, 1, 1, 1), "B: expected a whole number from 1 to 65535, got 65536"),
    "pixels": (
        torch.ones(1, 1, 1, 1).expand(1, 1, 2**15, 2**16),
        "H . W: expected a whole number from 1 to 1073741824",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_refuses(bad: str, device: str) -> None:
    x, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        upsample2x(x)


def test_describes_a_launch_without_memory() -> None:
    x = torch.empty(1, 1280, 8, 8, device="meta")
    y, [launch] = upsample2x_launches(x, arch=90)
    assert y.shape == (1, 1280, 16, 16) and launch.grid == (4, 10, 1)
    assert upsample2x_cost(x).bytes == 5 * 4 * x.numel()

from typing import Any

import pytest
import torch
from convolutions import DTYPES, picture, vector
from testing import assert_as_good_as, guarded

from fewstep.kernels.conv2d import finish_ref
from fewstep.kernels.conv2d_epilogue import Activation, Epilogue, add_parts_launch

SMALL = {"BLOCK_P": 4, "BLOCK_N": 16}


def check_parts(shape: tuple[int, ...], dtype: torch.dtype, device: str, **options: Any) -> None:
    """shape: (PARTS, B, H, W, C_out)."""
    _, B, H, W, C_out = shape
    parts = vector(device, torch.float32, *shape)
    end = Epilogue(**options)
    y = torch.empty((B, H, W, C_out), dtype=dtype, device=device).permute(0, 3, 1, 2)
    add_parts_launch(parts, y, end, SMALL).run()
    doubles: dict[str, Any] = {n: v.double() if isinstance(v, torch.Tensor) else v for n, v in vars(end).items()}

    def whole(sums: torch.Tensor, end: Epilogue) -> torch.Tensor:
        y = sums.permute(0, 3, 1, 2)
        return finish_ref(y if end.bias is None else y + end.bias[:, None, None], end)

    truth = whole(parts.double().sum(0), Epilogue(**doubles))
    assert_as_good_as(y, whole(parts.sum(0).to(dtype), end), truth)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 1, 2, 2, 16), (3, 2, 3, 5, 17), (7, 2, 1, 3, 33)], ids=str)
def test_adds_parts(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    check_parts(shape, dtype, device)


@pytest.mark.parametrize("activation", [None, "silu", "relu"])
def test_finishes(activation: Activation | None, device: str) -> None:
    B, H, W, C_out = shape = (2, 3, 3, 17)
    check_parts(
        (2, *shape),
        torch.float16,
        device,
        bias=vector(device, torch.float16, C_out, seed=3),
        embedding=vector(device, torch.float16, B, C_out, seed=4) - 1,
        residual=picture(device, torch.float16, B, C_out, H, W, seed=5),
        scale=-1.25,
        activation=activation,
    )


def test_each_addend_alone_in_another_dtype(device: str) -> None:
    shape = (1, 2, 2, 3, 5)
    check_parts(shape, torch.float32, device, bias=vector(device, torch.bfloat16, 5))
    check_parts(shape, torch.float32, device, embedding=vector(device, torch.bfloat16, 2, 9)[:, 2:7])
    residual = picture(device, torch.float16, 2, 8, 4, 6)[:, 1:6, ::2, 3:]
    check_parts(shape, torch.float32, device, residual=residual)


@pytest.mark.filterwarnings("ignore:overflow")  # silu(-1e4) divides by infinity, and is -0
@pytest.mark.parametrize("activation", [None, "silu", "relu"])
def test_extremes(activation: Activation | None, device: str) -> None:
    """Sums beyond fp16's range come back when they are scaled; NaN stays; silu and relu at their ends."""
    parts = guarded(torch.tensor([1e5, -1e5, 600.0, -600.0, float("nan")], device=device).view(1, 1, 1, 1, 5))
    y = torch.empty((1, 1, 1, 5), dtype=torch.float16, device=device).permute(0, 3, 1, 2)
    add_parts_launch(parts, y, Epilogue(scale=0.1, activation=activation), SMALL).run()
    low = [0.0, 0.0] if activation else [-1e4, -60.0]
    expected = torch.tensor([1e4, low[0], 60.0, low[1], float("nan")], dtype=torch.float16, device=device)
    torch.testing.assert_close(y.flatten(), expected, equal_nan=True, rtol=1e-3, atol=1e-6)


def test_a_large_picture_s_parts_fit_a_grid() -> None:
    parts = torch.empty(2, 1, 1024, 1024, 320, device="meta")
    y = torch.empty(1, 1024, 1024, 320, device="meta").permute(0, 3, 1, 2)
    assert add_parts_launch(parts, y, Epilogue()).grid == (2**18, 2, 1)

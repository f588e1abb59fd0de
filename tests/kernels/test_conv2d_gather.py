import pytest
import torch
from convolutions import DTYPES, check_conv2d, kernel_weight, picture, vector

from fewstep.kernels.conv2d import conv2d_launches
from fewstep.kernels.conv2d_launch import Norm
from fewstep.kernels.launch import run_all

SMALL = {"BLOCK_M": 16, "BLOCK_N": 16, "BLOCK_K": 16, "GROUP_M": 2, "PARTS": 1}


SHAPES = {  # (B, C, H, W), C_out, (KH, KW), stride, padding
    "one": ((1, 1, 1, 1), 1, (1, 1), 1, 0),
    "one, padded": ((1, 1, 1, 1), 1, (3, 3), 1, 1),
    "several taps in a block": ((2, 3, 3, 6), 17, (3, 3), 1, 1),
    "several taps, stride": ((1, 5, 4, 4), 4, (3, 3), 2, (0, 1, 0, 1)),
    "full blocks": ((2, 16, 4, 4), 16, (1, 3), 1, (1, 1, 0, 0)),
    "tails": ((1, 20, 3, 6), 17, (3, 3), 1, 1),
    "downsampling": ((1, 20, 7, 5), 5, (3, 3), 2, (0, 1, 0, 1)),
    "stride": ((1, 17, 4, 6), 5, (3, 3), 2, 1),
    "pixel by pixel": ((1, 33, 3, 3), 6, (1, 1), 1, 0),
    "uneven": ((1, 18, 4, 5), 3, (3, 2), 1, (1, 0, 0, 2)),
    "wide kernel, stride 3": ((1, 4, 5, 4), 3, (2, 4), 3, (3, 2, 1, 0)),
}


def check_shape_of(name: str, dtype: torch.dtype, device: str) -> None:
    shape, C_out, (KH, KW), stride, padding = SHAPES[name]
    x, weight = picture(device, dtype, *shape), kernel_weight(device, dtype, C_out, shape[1], KH, KW)
    check_conv2d(x, weight, arch=80, config=SMALL, stride=stride, padding=padding)


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape(name: str, device: str) -> None:
    check_shape_of(name, torch.float16, device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["several taps in a block", "full blocks"])
def test_every_dtype(name: str, dtype: torch.dtype, device: str) -> None:
    check_shape_of(name, dtype, device)


@pytest.mark.parametrize(("C", "parts"), [(3, 2), (20, 3)])
def test_parts_of_the_sum(C: int, parts: int, device: str) -> None:
    x = picture(device, torch.float16, 2, C, 2, 4)
    weight = kernel_weight(device, torch.float16, 18, C, 3, 1)
    bias = vector(device, torch.float16, 18)
    check_conv2d(x, weight, bias, arch=80, config=SMALL | {"PARTS": parts}, padding=(0, 0, 1, 1))


@pytest.mark.parametrize("size", [(3, 5), (4, 4), (1, 17)], ids=str)
def test_sizes_about_a_block_of_pixels(size: tuple[int, int], device: str) -> None:
    x = picture(device, torch.float32, 2, 1, *size)
    check_conv2d(x, kernel_weight(device, torch.float32, 33, 1, 3, 3), arch=80, config=SMALL)


def test_grouped_order_visits_every_tile(device: str) -> None:
    x = picture(device, torch.float32, 1, 4, 9, 9)
    weight = kernel_weight(device, torch.float32, 33, 4, 1, 1)
    check_conv2d(x, weight, arch=80, config=SMALL | {"GROUP_M": 4}, padding=0)


def test_takes_views(device: str) -> None:
    x = picture(device, torch.float16, 4, 40, 6, 9)[::2, 8:28, 1::2, ::2]
    residual = picture(device, torch.float16, 2, 12, 5, 6, seed=3)[:, 3:10, :3, 1:]
    weight = kernel_weight(device, torch.float16, 7, 20, 3, 3)
    embedding = vector(device, torch.float16, 2, 20)[:, 6:13]
    check_conv2d(x, weight, arch=80, config=SMALL, embedding=embedding, residual=residual)


@pytest.mark.parametrize("parts", ["plain", "affine", "film", "affine film"])
@pytest.mark.parametrize(("C", "groups", "silu"), [(20, 5, True), (6, 2, False)], ids=str)
def test_group_norm_on_load(C: int, groups: int, parts: str, silu: bool, device: str) -> None:
    """Padding stays zero after the norm; the second picture has a mean and a variance of its own."""
    dtype = torch.float16
    x = picture(device, dtype, 2, C, 2, 5) * torch.tensor([1.0, 3.0], dtype=dtype, device=device)[:, None, None, None]
    x = (x + torch.tensor([0.0, 2.0], dtype=dtype, device=device)[:, None, None, None]).contiguous(
        memory_format=torch.channels_last
    )
    grouped = x.float().reshape(2, groups, -1)
    rstd = (grouped.var(-1, correction=0) + 1e-5).rsqrt()
    affine = {"weight": vector(device, dtype, C, seed=4), "bias": vector(device, dtype, C, seed=5)}
    films = vector(device, dtype, 2, 3 * C, seed=6), vector(device, dtype, 2, 2 * C, seed=7)
    film = {"scale": films[0][:, C : 2 * C], "shift": films[1][:, :C]}
    fields = (affine if "affine" in parts else {}) | (film if "film" in parts else {})
    norm = Norm(grouped.mean(-1), rstd, **fields, silu=silu)
    weight = kernel_weight(device, dtype, 5, C, 1, 3)
    check_conv2d(x, weight, arch=80, config=SMALL, norm=norm, padding=(1, 1, 0, 0))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_group_norm_on_load_in_every_dtype(dtype: torch.dtype, device: str) -> None:
    x = picture(device, dtype, 1, 16, 4, 4)
    grouped = x.float().reshape(1, 4, -1)
    gamma, beta = vector(device, dtype, 2, 16)
    norm = Norm(grouped.mean(-1), (grouped.var(-1) + 1e-5).rsqrt(), gamma, beta)
    check_conv2d(
        x, kernel_weight(device, dtype, 5, 16, 3, 1), config=SMALL | {"PARTS": 2}, norm=norm, padding=(0, 0, 1, 1)
    )


@pytest.mark.filterwarnings("ignore:overflow")  # silu(-948) divides by infinity, and is -0
def test_normalises_constant_pictures_and_large_means(device: str) -> None:
    x = torch.full((1, 16, 4, 4), 3.0, device=device).contiguous(memory_format=torch.channels_last)
    x[:, 8:] = picture(device, torch.float32, 1, 8, 4, 4) + 1000
    grouped = x.reshape(1, 2, -1).double()
    mean, rstd = grouped.mean(-1).float(), (grouped.var(-1, correction=0) + 1e-5).rsqrt().float()
    check_conv2d(
        x, kernel_weight(device, torch.float32, 4, 16, 1, 3), config=SMALL, norm=Norm(mean, rstd), padding=(1, 1, 0, 0)
    )


def test_same_bits_every_time(device: str) -> None:
    x, weight = picture(device, torch.float16, 1, 20, 2, 4), kernel_weight(device, torch.float16, 18, 20, 3, 3)
    (first, one), (second, two) = (conv2d_launches(x, weight, config=SMALL | {"PARTS": 3}) for _ in range(2))
    run_all(one + two)
    assert torch.equal(first, second)

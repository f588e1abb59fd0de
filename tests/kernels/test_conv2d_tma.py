import pytest
import torch
from convolutions import check_conv2d, kernel_weight, picture, vector

from fewstep.kernels.conv2d import conv2d_launches

SMALL = {"BLOCK_H": 4, "BLOCK_W": 4, "BLOCK_N": 16, "BLOCK_K": 16, "GROUP_M": 2, "PARTS": 1}
SHAPES = {  # (B, C, H, W), C_out, (KH, KW), padding
    "one pixel": ((1, 8, 1, 1), 1, (1, 1), 0),
    "full boxes": ((2, 16, 4, 8), 16, (3, 1), (0, 0, 1, 1)),
    "tails": ((1, 24, 5, 6), 17, (3, 3), 1),
    "pixel by pixel": ((2, 32, 3, 5), 33, (1, 1), 0),
    "uneven": ((1, 8, 5, 4), 3, (3, 2), (1, 0, 0, 2)),
    "no padding": ((1, 8, 6, 7), 3, (3, 3), 0),
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape(name: str, device: str) -> None:
    shape, C_out, (KH, KW), padding = SHAPES[name]
    x = picture(device, torch.float16, *shape)
    weight = kernel_weight(device, torch.float16, C_out, shape[1], KH, KW)
    check_conv2d(x, weight, arch=90, config=SMALL, padding=padding)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_of_the_sum_and_both_dtypes(parts: int, device: str) -> None:
    x = picture(device, torch.bfloat16, 2, 24, 3, 4)
    weight = kernel_weight(device, torch.bfloat16, 18, 24, 3, 1)
    check_conv2d(x, weight, arch=90, config=SMALL | {"PARTS": parts}, padding=(0, 0, 1, 1))


@pytest.mark.parametrize("box", [(2, 8), (16, 1), (1, 16)], ids=str)
def test_boxes_of_every_form(box: tuple[int, int], device: str) -> None:
    x = picture(device, torch.float16, 1, 8, 7, 11)
    config = SMALL | {"BLOCK_H": box[0], "BLOCK_W": box[1], "GROUP_M": 3}
    check_conv2d(x, kernel_weight(device, torch.float16, 20, 8, 1, 3), arch=90, config=config, padding=(1, 1, 0, 0))


def test_takes_views_and_finishes(device: str) -> None:
    x = picture(device, torch.float16, 4, 40, 6, 9)[::2, 8:24, 1::2, ::2]
    residual = picture(device, torch.float16, 2, 12, 5, 6, seed=3)[:, 3:10, :3, 1:]
    weight = kernel_weight(device, torch.float16, 7, 16, 3, 3)
    embedding = vector(device, torch.float16, 2, 20)[:, 6:13]
    bias = vector(device, torch.float16, 7, seed=5)
    check_conv2d(
        x, weight, bias, arch=90, config=SMALL, embedding=embedding, residual=residual, scale=0.7, activation="silu"
    )


def test_is_what_a_config_of_boxes_launches() -> None:
    x = torch.empty(1, 4, 4, 8, device="meta", dtype=torch.float16).permute(0, 3, 1, 2)
    weight = torch.empty(8, 1, 1, 8, device="meta", dtype=torch.float16).permute(0, 3, 1, 2)
    _, (launch,) = conv2d_launches(x, weight, arch=90, config=SMALL, padding=0)
    assert launch.kernel.__name__ == "tma_kernel" and launch.grid == (1, 1, 1)

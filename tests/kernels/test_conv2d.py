from typing import Any

import pytest
import torch
from convolutions import DTYPES, check_conv2d, kernel_weight, picture, vector
from testing import guarded

from fewstep.errors import InputError
from fewstep.kernels.conv2d import arrange_weight, conv2d, conv2d_cost, conv2d_launches, conv2d_ref
from fewstep.kernels.conv2d_launch import Norm
from fewstep.kernels.launch import run_all

META: dict[str, Any] = {"device": "meta", "dtype": torch.bfloat16}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("C", [3, 40])
def test_chooses_tiles_itself(C: int, dtype: torch.dtype, device: str) -> None:
    x, weight = picture(device, dtype, 1, C, 5, 3), kernel_weight(device, dtype, 6, C, 3, 3)
    check_conv2d(x, weight, vector(device, dtype, 6), activation="relu")


@pytest.mark.parametrize(
    ("shape", "C_out", "K", "arch"), [((1, 4, 16, 16), 64, 3, 80), ((1, 32, 32, 32), 1152, 1, 90)], ids=str
)
def test_real_layers(shape: tuple[int, ...], C_out: int, K: int, arch: int, device: str) -> None:
    """TAESD's first convolution, of 128 x 128 pixels, and SANA's patches."""
    x = picture(device, torch.float16, *shape)
    weight = kernel_weight(device, torch.float16, C_out, shape[1], K, K)
    check_conv2d(x, weight, vector(device, torch.float16, C_out), arch=arch, padding=K // 2)


def test_returns_channels_last_of_every_option(device: str) -> None:
    x, weight = picture(device, torch.float16, 2, 3, 4, 5), kernel_weight(device, torch.float16, 7, 3, 3, 3)
    bias, embedding = vector(device, torch.float16, 7), vector(device, torch.float16, 2, 7, seed=3)
    residual = picture(device, torch.float16, 2, 7, 2, 3, seed=4)
    norm = Norm(torch.full((2, 1), 0.5, device=device), torch.full((2, 1), 2.0, device=device), silu=False)
    options: dict[str, Any] = {
        "stride": 2, "padding": 1, "embedding": embedding, "residual": residual, "scale": 0.5, "activation": "silu",
        "norm": norm,
    }  # fmt: skip
    y = conv2d(x, weight, bias, **options)
    assert y.shape == (2, 7, 2, 3) and y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, conv2d_ref(x, weight, bias, **options), rtol=1e-2, atol=1e-2)


@pytest.mark.filterwarnings("ignore:overflow")
def test_overflows_where_pytorch_does(device: str) -> None:
    x = torch.full((1, 16, 1, 1), 2.0**12, dtype=torch.float16, device=device)
    weight = arrange_weight(
        torch.tensor([1.0, 0.875, -1.0], device=device).half()[:, None, None, None].repeat(1, 16, 1, 1)
    )
    assert conv2d(x, weight, padding=0).flatten().tolist() == [float("inf"), 57344, float("-inf")]


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_nan_and_an_infinity_stay_where_they_are_seen(device: str) -> None:
    x = torch.zeros(1, 16, 5, 5, device=device).contiguous(memory_format=torch.channels_last)
    x[0, 3, 0, 0], x[0, 3, 4, 4] = float("nan"), float("inf")
    weight = arrange_weight(torch.ones(1, 16, 3, 3, device=device))
    y = conv2d(x, weight)[0, 0]
    assert y[:2, :2].isnan().all() and y[3:, 3:].isinf().all() and (y[:3, 3:] == 0).all() and y[2, 2] == 0


def test_uses_tma_where_addresses_allow_it() -> None:
    def kernels(x: torch.Tensor, arch: int, **options: Any) -> list[str]:
        weight = torch.empty(64, x.shape[1], 3, 3, device="meta", dtype=x.dtype)
        _, launches = conv2d_launches(x, arrange_weight(weight), arch=arch, **options)
        return [launch.kernel.__name__ for launch in launches]

    x = torch.empty(1, 64, 64, 72, **META).permute(0, 3, 1, 2)
    assert kernels(x, 90) == kernels(x[:, :64], 120) == ["tma_kernel"]
    for other in (x[:, :60], x[:, 4:68].float(), x.contiguous(memory_format=torch.channels_last)[:, :, :, 4:].float()):
        assert kernels(other, 90) == ["gather_kernel"]
    odd = torch.empty(1, 64, 64, 68, **META).permute(0, 3, 1, 2)[:, :64]  # rows of pixels 136 bytes apart
    assert kernels(odd, 90) == kernels(x, 80) == ["gather_kernel"]
    assert kernels(x, 90, stride=2)[0] == "gather_kernel"
    norm = Norm(torch.empty(1, 8, device="meta"), torch.empty(1, 8, device="meta"))
    assert kernels(x, 90, norm=norm)[0] == "gather_kernel"


def test_small_pictures_are_computed_in_parts() -> None:
    x = torch.empty(1, 8, 8, 1280, **META).permute(0, 3, 1, 2)
    weight = arrange_weight(torch.empty(1280, 1280, 3, 3, **META))
    for arch in (80, 90):
        _, (product, add) = conv2d_launches(x, weight, arch=arch)
        assert product.grid[1] == add.args["PARTS"] > 1


def test_arranges_weights_once() -> None:
    weight = torch.randn(5, 4, 3, 2)
    arranged = arrange_weight(weight)
    assert torch.equal(arranged, weight) and arranged.permute(0, 2, 3, 1).is_contiguous()
    assert arrange_weight(arranged).data_ptr() == arranged.data_ptr()


def test_cost_counts_each_tensor_once(device: str) -> None:
    x, weight = picture(device, torch.float16, 2, 3, 5, 4), kernel_weight(device, torch.float16, 7, 3, 3, 2)
    bias, residual = vector(device, torch.float16, 7), picture(device, torch.float16, 2, 7, 3, 3)
    y, _ = conv2d_launches(x, weight, bias, stride=2, padding=(1, 1, 1, 1), residual=residual)
    cost = conv2d_cost(x, weight, bias, stride=2, padding=(1, 1, 1, 1), residual=residual)
    assert cost.bytes == 2 * (x.numel() + weight.numel() + 7 + 2 * y.numel())
    assert cost.flop == 2 * y.numel() * 3 * 3 * 2


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "rank": ({"x": (3, 4, 4)}, r"x: expected shape \(any, any, any, any\), got \(3, 4, 4\)"),
    "channels": ({"weight": (4, 5, 3, 3)}, r"weight: expected shape \(any, 3, any, any\), got \(4, 5, 3, 3\)"),
    "dtype": ({"dtype": torch.float64}, "x: expected dtype float16 or bfloat16 or float32, got float64"),
    "layout": ({"nchw": True}, "x: expected channels last"),
    "stride": ({"stride": 0}, "stride: expected a whole number from 1 to 8, got 0"),
    "padding": ({"padding": 3}, "padding left: expected a whole number from 0 to 2, got 3"),
    "sides": ({"padding": (1, 1)}, r"padding: expected a number, or left, right, top and bottom, got \(1, 1\)"),
    "bottom": ({"padding": (0, 1, 2, -1)}, "padding bottom: expected a whole number from 0 to 2, got -1"),
    "kernel": ({"weight": (4, 3, 32, 3)}, "KH: expected a whole number from 1 to 31, got 32"),
    "small": ({"x": (2, 3, 2, 4), "padding": 0}, "x: expected at least 3x3 pixels with the padding, got 2x4"),
    "bias": ({"bias": (5,)}, r"bias: expected shape \(4\), got \(5,\)"),
    "embedding": ({"embedding": (1, 4)}, r"embedding: expected shape \(2, 4\), got \(1, 4\)"),
    "residual": ({"residual": (2, 4, 4, 5)}, r"residual: expected shape \(2, 4, 4, 4\), got \(2, 4, 4, 5\)"),
    "residual's layout": ({"residual": (2, 4, 4, 4)}, "residual: expected channels last"),
    "activation": ({"activation": "gelu"}, "activation: expected None, 'silu' or 'relu', got 'gelu'"),
    "groups": ({"norm": ((2, 2), (2, 2))}, "norm.mean: expected groups that divide 3 channels, got 2"),
    "rstd": ({"norm": ((2, 3), (2, 1))}, r"norm.rstd: expected shape \(2, 3\), got \(2, 1\)"),
    "half": ({"norm": ((2, 3), (2, 3), (3,))}, "norm: expected both of weight and bias or neither, got one"),
    "film": ({"norm": ((2, 3), (2, 3), (3,), (3,), (3,), (3,))}, r"norm.scale: expected shape \(2, 3\), got \(3,\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str, device: str) -> None:
    changes, message = REFUSED[name]
    changes = dict(changes)
    dtype = changes.pop("dtype", torch.float32)
    x = torch.randn(changes.pop("x", (2, 3, 4, 4)), device=device, dtype=dtype)
    if x.dim() == 4 and not changes.pop("nchw", False):
        x = x.contiguous(memory_format=torch.channels_last)
    weight = arrange_weight(torch.randn(changes.pop("weight", (4, 3, 3, 3)), device=device, dtype=dtype))
    if "norm" in changes:
        fields = zip(("mean", "rstd", "weight", "bias", "scale", "shift"), changes["norm"], strict=False)
        tensors: dict[str, Any] = {field: torch.randn(shape, device=device) for field, shape in fields}
        changes["norm"] = Norm(**tensors)
    for key in ("bias", "embedding", "residual"):
        if key in changes:
            changes[key] = torch.randn(changes[key], device=device)
    with pytest.raises(InputError, match=message):
        conv2d(x, weight, **changes)


def test_refuses_what_is_arranged_otherwise(device: str) -> None:
    x = picture(device, torch.float32, 1, 3, 4, 4)
    with pytest.raises(InputError, match="weight: expected it as arrange_weight gives it, got strides"):
        conv2d(x, torch.randn(4, 3, 3, 3, device=device))
    weight = kernel_weight(device, torch.float32, 4, 3, 3, 3)
    with pytest.raises(InputError, match="weight: expected dtype float32, got float16"):
        conv2d(x, weight.half())
    with pytest.raises(InputError, match="bias: expected dtype"):
        conv2d(x, weight, torch.ones(4, device=device, dtype=torch.int32))
    with pytest.raises(InputError, match="bias: expected stride 1"):
        conv2d(x, weight, torch.ones(8, device=device)[::2])
    with pytest.raises(InputError, match=r"one device, got .* weight on meta"):
        conv2d(x, arrange_weight(torch.empty(4, 3, 3, 3, device="meta")))
    with pytest.raises(InputError, match=r"one device, got .* embedding on meta"):
        conv2d(x, weight, embedding=torch.empty(1, 4, device="meta"))
    with pytest.raises(InputError, match=r"one device, got .* norm\.rstd on meta"):
        conv2d(x, weight, norm=Norm(torch.zeros(1, 1, device=device), torch.zeros(1, 1, device="meta")))
    with pytest.raises(InputError, match=r"norm\.mean: expected dtype float32, got float16"):
        conv2d(x, weight, norm=Norm(torch.zeros(1, 1, device=device).half(), torch.zeros(1, 1, device=device)))
    with pytest.raises(InputError, match="height: expected a whole number from 1 to 32768, got 32769"):
        conv2d_launches(torch.empty(1, 32769, 1, 3, **META).permute(0, 3, 1, 2), weight.to("meta", torch.bfloat16))


def test_writes_where_it_is_told_in_another_dtype(device: str) -> None:
    """Some channels of a wider picture; its neighbours stay as they are, whether the sum is split in parts or not."""
    x = guarded(torch.randn(2, 6, 5, 32, device=device).half().movedim(-1, 1))
    weight = arrange_weight(torch.randn(7, 32, 3, 3, device=device).half())
    for parts in (1, 3):
        wide = torch.full((2, 6, 5, 12), float("nan"), device=device).movedim(-1, 1)
        config = {
            "BLOCK_M": 16, "BLOCK_N": 16, "BLOCK_K": 32, "GROUP_M": 1, "PARTS": parts, "num_warps": 4, "num_stages": 2,
        }  # fmt: skip
        y, launches = conv2d_launches(x, weight, out=wide[:, 3:10], config=config)
        run_all(launches)
        assert torch.allclose(y, conv2d_ref(x.float(), weight.float()), rtol=1e-4, atol=1e-4)
        assert wide[:, :3].isnan().all() and wide[:, 10:].isnan().all()
    with pytest.raises(InputError, match=r"out: expected shape \(2, 7, 6, 5\), got"):
        conv2d_launches(x, weight, out=wide)

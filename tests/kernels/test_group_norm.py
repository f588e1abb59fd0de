import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.group_norm import group_norm, group_norm_cost, group_norm_launches, group_norm_ref
from fewstep.kernels.launch import run_all

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SPLIT = {"CHUNKS": 2, "PROGRAMS": 2, "BLOCK_P": 8, "SLAB_G": 2}
FEW = {"CHUNKS": 1, "PROGRAMS": 1, "BLOCK_P": 16, "SLAB_G": 4}


def image(*shape: int, device: str, dtype: torch.dtype = torch.float32) -> Tensor:
    return guarded((torch.randn(*shape, device=device) + 1).to(dtype))  # a mean, or a lost mask goes unseen


def terms(names: str, B: int, C: int, device: str, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    sizes = {"weight": (C,), "bias": (C,), "scale": (B, C), "shift": (B, C)}
    return {name: image(*sizes[name], device=device, dtype=dtype) for name in names.split()}


def check(config: dict[str, int] | None = None, **arguments: Any) -> None:
    outputs, launches = group_norm_launches(**arguments, config=config)
    run_all(launches)
    doubled: dict[str, Any] = {name: a.double() if isinstance(a, Tensor) else a for name, a in arguments.items()}
    all_of = (outputs, group_norm_ref(**arguments), group_norm_ref(**doubled))
    for out, eager, truth in zip(*(t if isinstance(t, tuple) else (t,) for t in all_of), strict=True):
        assert_as_good_as(out, eager, truth)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("shape", "groups"), [((1, 1, 1, 2), 1), ((2, 30, 5, 7), 3), ((1, 8, 6, 6), 8)], ids=str)
def test_normalises(shape: tuple[int, ...], groups: int, dtype: torch.dtype, device: str) -> None:
    x = image(*shape, device=device, dtype=dtype)
    weights = terms("weight bias", shape[0], shape[1], device, dtype)
    check(x=x, groups=groups, **weights, silu=True)
    check(x=x.to(memory_format=torch.channels_last), groups=groups, **weights)


@pytest.mark.parametrize("config", [None, SPLIT], ids=["one pass", "split"])
@pytest.mark.parametrize("given", ["", "weight", "bias", "scale", "shift", "bias scale", "weight bias scale shift"])
def test_each_term_may_be_absent(given: str, config: dict[str, int] | None, device: str) -> None:
    check(config, x=image(2, 12, 3, 4, device=device), groups=4, eps=1e-6, **terms(given, 2, 12, device))


@pytest.mark.parametrize("config", [None, SPLIT], ids=["one pass", "split"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_adds_a_residual(dtype: torch.dtype, config: dict[str, int] | None, device: str) -> None:
    x, residual = (image(2, 12, 3, 5, device=device, dtype=dtype) for _ in range(2))
    everything = terms("weight bias scale shift", 2, 12, device, dtype)
    check(config, x=x, groups=3, residual=residual.mT.contiguous().mT, silu=True, **everything)
    check(config, x=x[:, :, :, 1:4], groups=3, residual=residual[:, :, :, ::2])


@pytest.mark.parametrize("config", [{"SLAB_G": 4}, FEW], ids=["one pass", "split"])
def test_takes_views(config: dict[str, int], device: str) -> None:
    x = image(4, 24, 6, 8, device=device)
    last = guarded(x.to(memory_format=torch.channels_last))
    for wide in (x, last):
        check(config, x=wide[::2, :12], groups=4)  # the half of a chunk
        check(config, x=wide[1:3, 1::2, 1:-1, 2:-1], groups=3)  # a crop
        check(config, x=wide[:1, :12, ::3], groups=2)  # rows
        check(config, x=wide[:1, :12, :, 3:4], groups=2)  # a column
        check(config, x=wide[:1, :12, 2:3, ::2], groups=2)  # a row
        check(config, x=wide.mT[:1], groups=2)
    scale, shift = image(2, 48, device=device).chunk(2, dim=1)
    check(config, x=x[:2], groups=8, scale=scale, shift=shift)
    check(config, x=x[:2], groups=8, scale=shift[:1].expand(2, -1), shift=scale)


@pytest.mark.parametrize("config", [None, SPLIT], ids=["one pass", "split"])
def test_results_are_channels_last(config: dict[str, int] | None, device: str) -> None:
    x = image(2, 12, 3, 4, device=device)
    y, x_sum = group_norm_launches(x, 4, residual=x, config=config)[0]
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert x_sum.is_contiguous(memory_format=torch.channels_last)
    tokens = x.flatten(2)
    check(config, x=tokens, groups=4)
    check(config, x=tokens.mT.contiguous().mT, groups=4, residual=tokens)
    assert group_norm(tokens, 4).mT.is_contiguous()


@pytest.mark.parametrize("SLAB_G", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("CG", [1, 3, 4])
def test_groups_around_a_slab(CG: int, SLAB_G: int, device: str) -> None:
    x = image(1, 5 * CG, 3, 5, device=device).to(memory_format=torch.channels_last)
    weights = terms("weight bias", 1, 5 * CG, device)
    check({"SLAB_G": SLAB_G}, x=guarded(x), groups=5, **weights)
    check(SPLIT | {"SLAB_G": SLAB_G}, x=guarded(x), groups=5, **weights)


@pytest.mark.parametrize("CG", [3, 4])
def test_a_slab_writes_its_own_groups(CG: int, device: str) -> None:
    x = image(1, 5 * CG, 3, 5, device=device)
    y, [launch] = group_norm_launches(x, 5, config={"SLAB_G": 3})
    replace(launch, grid=(1, 1, 1)).run()
    assert isinstance(y, Tensor) and y[:, : 3 * CG].isfinite().all() and y[:, 3 * CG :].isnan().all()
    _, [moments, _] = group_norm_launches(x, 5, config=SPLIT | {"CHUNKS": 1, "SLAB_G": 3})
    replace(moments, grid=(1, 1, 1)).run()
    for written in (moments.args["mean_ptr"], moments.args["spread_ptr"]):
        assert written[..., :3].isfinite().all() and written[..., 3:].isnan().all()


@pytest.mark.parametrize("P", [15, 16, 17])
def test_pixels_around_a_block(P: int, device: str) -> None:
    x = image(2, 4, P, device=device)
    check(x=x, groups=2)
    check({"CHUNKS": 0, "BLOCK_P": 32}, x=x, groups=2)


@pytest.mark.parametrize("config", [None, SPLIT], ids=["one pass", "split"])
@pytest.mark.parametrize(("mean", "deviation"), [(100, 0.01), (-1000, 0.1), (0, 1e-4), (0, 1e6)])
def test_means_and_deviations_of_any_size(
    mean: float, deviation: float, config: dict[str, int] | None, device: str
) -> None:
    check(config, x=guarded(torch.randn(1, 8, 5, 9, device=device) * deviation + mean), groups=2)


@pytest.mark.parametrize("config", [None, SPLIT], ids=["one pass", "split"])
@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_a_constant_becomes_the_bias(eps: float, config: dict[str, int] | None, device: str) -> None:
    constants = torch.tensor([1000.1, -333.3], device=device).repeat_interleave(3)  # of the two groups
    x = guarded(constants[None, :, None, None].expand(1, 6, 5, 5).contiguous())
    bias = image(6, device=device)
    for residual in (None, x / 3):
        outputs, launches = group_norm_launches(x, 2, None, bias, eps=eps, residual=residual, config=config)
        run_all(launches)
        y = outputs[0] if isinstance(outputs, tuple) else outputs
        assert torch.equal(y, bias[None, :, None, None].expand_as(y))


@pytest.mark.parametrize("config", [None, SPLIT], ids=["one pass", "split"])
def test_one_pixel_far_from_the_others(config: dict[str, int] | None, device: str) -> None:
    x = torch.randn(1, 4, 5, 5, device=device)
    x[0, 0, 0, 0] = 1e4
    check(config, x=guarded(x), groups=2)


@pytest.mark.parametrize("config", [None, SPLIT], ids=["one pass", "split"])
def test_squares_that_fp16_cannot_hold(config: dict[str, int] | None, device: str) -> None:
    x = guarded(6e4 * torch.rand(1, 4, 5, 5, device=device).half())
    check(config, x=x, groups=2, **terms("weight bias", 1, 4, device, torch.float16))


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # the interpreter's; its infinity is right
@pytest.mark.parametrize("config", [None, SPLIT], ids=["one pass", "split"])
def test_silu_of_large_arguments(config: dict[str, int] | None, device: str) -> None:
    weight = guarded(torch.tensor([200.0, -200.0], device=device))
    check(config, x=image(1, 2, 4, 4, device=device), groups=1, weight=weight, silu=True)


def test_terms_of_another_dtype(device: str) -> None:
    x = image(2, 8, 3, 3, device=device, dtype=torch.bfloat16)
    scale = image(2, 8, device=device)
    eager, truth = group_norm_ref(x, 4, scale=scale), group_norm_ref(x.double(), 4, scale=scale.double())
    assert isinstance(eager, Tensor) and isinstance(truth, Tensor)
    assert_as_good_as(group_norm(x, 4, scale=scale), eager.bfloat16(), truth)


def test_a_real_shape(device: str) -> None:
    x = image(1, 1280, 8, 8, device=device, dtype=torch.bfloat16)
    check(x=x.to(memory_format=torch.channels_last), groups=32, silu=True, eps=1e-6)


@pytest.mark.parametrize("config", [None, SPLIT], ids=["one pass", "split"])
def test_the_same_input_gives_the_same_bits(config: dict[str, int] | None, device: str) -> None:
    x = image(2, 12, 5, 5, device=device)
    outputs: list[Any] = []
    for _ in range(2):
        y, launches = group_norm_launches(x, 3, config=config)
        run_all(launches)
        outputs.append(y)
    assert torch.equal(*outputs)


X = torch.ones(2, 6, 2, 2)
GOOD: dict[str, Any] = {"x": X, "groups": 2}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "rank": ({"x": torch.ones(2, 8)}, r"x: expected shape \(any, any, any, any\), got \(2, 8\)"),
    "empty": ({"x": torch.ones(2, 6, 0)}, r"x: expected shape \(any, any, any\), got \(2, 6, 0\)"),
    "dtype": ({"x": X.double()}, "x: expected dtype float16 or bfloat16 or float32, got float64"),
    "many": ({"x": torch.ones(65536, 1, 1)}, "B: expected a whole number from 1 to 65535, got 65536"),
    "pixels": ({"x": torch.ones(1).expand(1, 6, 2**30 + 1)}, r"H \* W: expected a whole number from 1 to 1073741824"),
    "wide": (
        {"x": torch.ones(1, 8193, 1), "groups": 1},
        "C / groups: expected a whole number from 1 to 8192, got 8193",
    ),
    "groups": ({"groups": 4}, "groups: expected a divisor of the 6 channels, got 4"),
    "none": ({"groups": 0}, "groups: expected a whole number from 1 to 6, got 0"),
    "whole": ({"groups": 3.0}, "groups: expected a whole number from 1 to 6, got 3.0"),
    "eps": ({"eps": float("nan")}, "eps: expected a number of at least 0, got nan"),
    "negative": ({"eps": -1e-5}, "eps: expected a number of at least 0, got -1e-05"),
    "residual": ({"residual": X[:1]}, r"residual: expected shape \(2, 6, 2, 2\), got \(1, 6, 2, 2\)"),
    "sum": ({"residual": X.half()}, "residual: expected dtype float32, got float16"),
    "weight": ({"weight": torch.ones(2, 6)}, r"weight: expected shape \(6\), got \(2, 6\)"),
    "bias": ({"bias": torch.ones(6).int()}, "bias: expected dtype .*, got int32"),
    "scale": ({"scale": torch.ones(6)}, r"scale: expected shape \(2, 6\), got \(6,\)"),
    "shift": ({"shift": torch.ones(2, 12)[:, ::2]}, "shift: expected stride 1 in the last axis"),
    "device": ({"bias": torch.ones(6, device="meta")}, "expected tensors on one device"),
    "mixed": ({"residual": X.to("meta")}, "expected tensors on one device"),
}


@pytest.mark.parametrize("bad", BAD)
def test_refuses(bad: str, device: str) -> None:
    arguments, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        group_norm_launches(**GOOD | arguments)


def test_describes_launches_without_memory() -> None:
    x = torch.empty(1, 320, 64, 64, device="meta", dtype=torch.bfloat16)
    y, launches = group_norm_launches(x, 32, arch=90)
    assert isinstance(y, Tensor) and y.shape == x.shape and len(launches) == 2
    _, [launch] = group_norm_launches(x[..., :32, :32], 32, arch=90)
    assert launch.grid == (32, 1, 1) and launch.constants["weight_ptr"] is None
    assert group_norm_cost(x, 32).bytes == 4 * x.numel()
    assert group_norm_cost(x, 32, residual=x).bytes == 8 * x.numel()


@pytest.mark.parametrize("B", [1, 64])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_work_is_divided_evenly(B: int, dtype: torch.dtype) -> None:
    for C, side in itertools.product((128, 192, 320, 1920, 2560), (8, 32, 64, 512)):
        _, launches = group_norm_launches(torch.empty(B, C, side, side, device="meta", dtype=dtype), 32, arch=90)
        for launch in launches:
            programs = launch.grid[0] * launch.grid[1] * launch.grid[2]
            assert programs >= 32 and (len(launches) == 1 or programs <= max(900, 32 * B))
            assert launch.constants["BLOCK_P"] * launch.constants["BLOCK_C"] <= 32768

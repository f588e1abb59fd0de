"""What the tests of convolutions share: guarded channels-last pictures, and a comparison with the reference."""

from typing import Any

import torch
from testing import assert_as_good_as, guarded
from torch import Tensor

from fewstep.kernels.conv2d import arrange_weight, conv2d_launches, conv2d_ref
from fewstep.kernels.conv2d_launch import Norm
from fewstep.kernels.launch import run_all

DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def picture(device: str, dtype: torch.dtype, *shape: int, seed: int = 0) -> Tensor:
    """Channels last, between margins of NaN, of a mean that is not zero."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator) + 0.5
    return guarded(x.to(device, dtype).to(memory_format=torch.channels_last))


def kernel_weight(device: str, dtype: torch.dtype, C_out: int, C: int, KH: int, KW: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(C_out, C, KH, KW, generator=generator) / (C * KH * KW) ** 0.5
    return guarded(arrange_weight(weight.to(device, dtype)))


def vector(device: str, dtype: torch.dtype, *shape: int, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return guarded((torch.randn(shape, generator=generator) + 0.5).to(device, dtype))


def double(value: Any) -> Any:
    if isinstance(value, Norm):
        return Norm(**{name: double(field) for name, field in vars(value).items()})
    return value.double() if isinstance(value, Tensor) else value


def check_conv2d(
    x: Tensor,
    weight: Tensor,
    *args: Tensor,
    arch: int | None = None,
    config: dict[str, int] | None = None,
    **options: Any,
) -> None:
    """The kernels' result is as good as PyTorch's."""
    y, launches = conv2d_launches(x, weight, *args, arch=arch, config=config, **options)
    run_all(launches)
    doubles = {name: double(value) for name, value in options.items()}
    truth = conv2d_ref(x.double(), weight.double(), *map(double, args), **doubles)
    assert_as_good_as(y, conv2d_ref(x, weight, *args, **options), truth)
    assert y.stride(1) == 1

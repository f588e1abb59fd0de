"""Nearest upsampling by 2 followed by a 3x3 convolution, as four 2x2 convolutions of the small picture.

A pixel of the enlarged picture sees, through three taps, only two different pixels of the small one. Adding the
taps that meet the same pixel (`fold_weight`, once, ahead of time) gives for each of the four corners (a, c) of an
enlarged pixel a 2x2 kernel: 4/9 of the operations, a quarter of the reads, and no enlarged copy in memory.
y[b, o, 2 i + a, 2 j + c] = activation((sum of x[b, :, i + a - 1 + u, j + c - 1 + v] . folded[a, c, o, :, u, v] + bias
+ embedding + residual) * scale); x: (B, C, H, W), channels last; y: (B, C_out, 2 H, 2 W). Dtypes as in `conv2d`.

The sub-pixel view of such layers: Shi et al. 2016 (arXiv 1609.07009).
"""

import torch
from torch import Tensor

from fewstep.kernels.checks import check_shape
from fewstep.kernels.conv2d import arrange_weight, finish_ref
from fewstep.kernels.conv2d_checks import check_epilogue, check_output, check_picture
from fewstep.kernels.conv2d_epilogue import Activation, Epilogue
from fewstep.kernels.conv2d_launch import Problem, conv_launches
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, run_all
from fewstep.kernels.tuned import Config

MEET = [[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]]  # [corner][tap of 2][tap of 3]


def fold_weight(weight: Tensor) -> Tensor:
    """(C_out, C, 3, 3), for the enlarged picture, to (4 * C_out, C, 2, 2), channels last: corners 00, 01, 10, 11."""
    check_shape("weight", weight, (None, None, 3, 3))
    wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
    meet = torch.tensor(MEET, dtype=wide, device=weight.device)
    folded = torch.einsum("aur,cvs,oirs->acoiuv", meet, meet, weight.to(wide))
    return arrange_weight(folded.flatten(0, 2).to(weight.dtype))


def upsample_conv2d_ref(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    embedding: Tensor | None = None,
    residual: Tensor | None = None,
    scale: float = 1.0,
    activation: Activation | None = None,
) -> Tensor:
    """What the kernels must equal, in the dtype of its inputs. weight: (C_out, C, 3, 3), before `fold_weight`."""
    f = torch.nn.functional
    y = f.conv2d(f.interpolate(x, scale_factor=2.0, mode="nearest"), weight, bias, padding=1)
    return finish_ref(y, Epilogue(None, embedding, residual, scale, activation))


def upsample_conv2d_launches(
    x: Tensor,
    folded: Tensor,
    bias: Tensor | None = None,
    *,
    embedding: Tensor | None = None,
    residual: Tensor | None = None,
    scale: float = 1.0,
    activation: Activation | None = None,
    out: Tensor | None = None,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """y, allocated unless it is out, and the launches that write it; folded: as `fold_weight` gives it."""
    check_picture(x, folded)
    B, C, H, W = x.shape
    C_out = folded.shape[0] // 4
    check_shape("folded", folded, (4 * C_out, C, 2, 2))
    epilogue = Epilogue(bias, embedding, residual, scale, activation)
    check_epilogue(x, epilogue, (B, C_out, 2 * H, 2 * W))
    check_output(x, out, (B, C_out, 2 * H, 2 * W))
    return conv_launches(Problem(x, folded, H, W, 1, 1, UP=2), epilogue, arch, config, out)


def upsample_conv2d(
    x: Tensor,
    folded: Tensor,
    bias: Tensor | None = None,
    *,
    embedding: Tensor | None = None,
    residual: Tensor | None = None,
    scale: float = 1.0,
    activation: Activation | None = None,
) -> Tensor:
    """y: (B, C_out, 2 H, 2 W), channels last; x: (B, C, H, W); folded: (4 * C_out, C, 2, 2). Raises InputError."""
    y, launches = upsample_conv2d_launches(
        x, folded, bias, embedding=embedding, residual=residual, scale=scale, activation=activation
    )
    run_all(launches)
    return y


def upsample_conv2d_cost(
    x: Tensor, folded: Tensor, bias: Tensor | None = None, *, residual: Tensor | None = None, **_: object
) -> Cost:
    """Of the four 2x2 convolutions: the 3x3 convolution of the enlarged picture would be 9/4 of the operations."""
    B, C, H, W = x.shape
    y = B * H * W * folded.shape[0]
    return Cost(nbytes(x, folded, bias, residual) + y * x.element_size(), 2 * y * C * 4)

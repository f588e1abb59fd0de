"""2-D convolution of channels-last pictures as a matrix product on tensor cores, with what surrounds it fused.

y = activation((conv(norm(x)) + bias + embedding + residual) * scale). x: (B, C, H, W), channels last (any strides but
the channels'); weight: (C_out, C, KH, KW), channels last in memory, the rows of the product (`arrange_weight`, once,
ahead of time); bias: (C_out,); embedding: (B, C_out), such as a time's; residual, y: (B, C_out, H', W'), channels last.
fp16, bf16 or fp32, one for x, weight and y; sums and the rest in fp32. `norm` is a group norm, with its FiLM and SiLU,
applied to what is read; zero padding stays zero. It pays where reading the weights takes the time (8 x 8 pixels at
batch 1), because every tap and every tile of channels normalises anew.

Implicit GEMM: Chetlur et al. 2014 (arXiv 1410.0759). Split in parts over taps and channels where the tiles of one
picture do not fill a GPU.
"""

import torch
from torch import Tensor

from fewstep.kernels.conv2d_checks import (
    Padding,
    check_epilogue,
    check_norm,
    check_output,
    check_picture,
    output_size,
    sides,
)
from fewstep.kernels.conv2d_epilogue import Activation, Epilogue
from fewstep.kernels.conv2d_launch import Norm, Problem, conv_launches
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, run_all
from fewstep.kernels.tuned import Config


def arrange_weight(weight: Tensor) -> Tensor:
    """(C_out, C, KH, KW) with the channels last in memory: one row of the matrix product after the other."""
    C_out, C, KH, KW = weight.shape
    return weight.permute(0, 2, 3, 1).contiguous().view(C_out, KH, KW, C).permute(0, 3, 1, 2)


def finish_ref(y: Tensor, e: Epilogue) -> Tensor:
    f = torch.nn.functional
    if e.embedding is not None:
        y = y + e.embedding[:, :, None, None]
    if e.residual is not None:
        y = y + e.residual
    if e.scale != 1:
        y = y * e.scale
    return f.silu(y) if e.activation == "silu" else f.relu(y) if e.activation == "relu" else y


def norm_ref(x: Tensor, norm: Norm) -> Tensor:
    B, C, H, W = x.shape
    mean, rstd = (s[:, :, None] for s in (norm.mean, norm.rstd))
    y = ((x.reshape(B, mean.shape[1], -1) - mean) * rstd).view(B, C, H, W)
    if norm.weight is not None and norm.bias is not None:
        y = y * norm.weight[:, None, None] + norm.bias[:, None, None]
    y = y.to(x.dtype)
    if norm.scale is not None and norm.shift is not None:
        y = y * (1 + norm.scale[:, :, None, None]) + norm.shift[:, :, None, None]
    return torch.nn.functional.silu(y) if norm.silu else y


def conv2d_ref(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: Padding = 1,
    embedding: Tensor | None = None,
    residual: Tensor | None = None,
    scale: float = 1.0,
    activation: Activation | None = None,
    norm: Norm | None = None,
) -> Tensor:
    """What the kernels must equal, in the dtype of its inputs."""
    x = x if norm is None else norm_ref(x, norm)
    x = torch.nn.functional.pad(x, sides(padding))
    y = torch.nn.functional.conv2d(x, weight, bias, stride)
    return finish_ref(y, Epilogue(None, embedding, residual, scale, activation))


def conv2d_launches(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: Padding = 1,
    embedding: Tensor | None = None,
    residual: Tensor | None = None,
    scale: float = 1.0,
    activation: Activation | None = None,
    norm: Norm | None = None,
    out: Tensor | None = None,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """y, allocated unless it is out, and the launches that write it. On meta, for sm_<arch>.

    config: BLOCK_M, or BLOCK_H and BLOCK_W for the tensor memory accelerator; BLOCK_N, BLOCK_K, GROUP_M, PARTS.
    """
    check_picture(x, weight)
    H_out, W_out = output_size(x, weight, stride, padding)
    epilogue = Epilogue(bias, embedding, residual, scale, activation)
    check_epilogue(x, epilogue, (x.shape[0], weight.shape[0], H_out, W_out))
    check_output(x, out, (x.shape[0], weight.shape[0], H_out, W_out))
    if norm is not None:
        check_norm(x, norm)
    left, _, top, _ = sides(padding)
    return conv_launches(Problem(x, weight, H_out, W_out, top, left, stride, 1, norm), epilogue, arch, config, out)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: Padding = 1,
    embedding: Tensor | None = None,
    residual: Tensor | None = None,
    scale: float = 1.0,
    activation: Activation | None = None,
    norm: Norm | None = None,
) -> Tensor:
    """y: (B, C_out, H', W'), channels last: activation((conv(norm(x)) + bias + embedding + residual) * scale).

    Shapes as in the module's docstring; weight as `arrange_weight` gives it. Raises InputError.
    """
    y, launches = conv2d_launches(
        x, weight, bias, stride=stride, padding=padding, embedding=embedding, residual=residual, scale=scale,
        activation=activation, norm=norm,
    )  # fmt: skip
    run_all(launches)
    return y


def conv2d_cost(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: Padding = 1,
    residual: Tensor | None = None,
    **_: object,
) -> Cost:
    C_out, C, KH, KW = weight.shape
    H_out, W_out = output_size(x, weight, stride, padding)
    y = x.shape[0] * C_out * H_out * W_out
    return Cost(nbytes(x, weight, bias, residual) + y * x.element_size(), 2 * y * C * KH * KW)

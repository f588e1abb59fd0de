"""A convolution's launches: which kernel, in which tiles, and what it is called with."""

from dataclasses import dataclass

import torch
import triton
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from fewstep.kernels.conv2d_config import choose
from fewstep.kernels.conv2d_epilogue import Epilogue, add_parts_launch, launch
from fewstep.kernels.conv2d_gather import gather_kernel
from fewstep.kernels.conv2d_tma import tma_kernel
from fewstep.kernels.launch import Launch, architecture
from fewstep.kernels.tuned import Config, tuned


@dataclass(frozen=True)
class Norm:
    """A group norm to apply to what a convolution reads: (x - mean) * rstd * weight + bias, FiLM, SiLU.

    mean, rstd: (B, groups) fp32; weight, bias: (C,), both or neither; scale, shift: (B, C), both or neither:
    y * (1 + scale) + shift, before SiLU.
    """

    mean: Tensor
    rstd: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None
    silu: bool = True


@dataclass(frozen=True)
class Problem:
    """x: (B, C, H, W), channels last; weight: (UP * UP * C_out, C, KH, KW), channels last.

    UP = 2 computes four pictures of H_out x W_out, one for each corner of the 2 x 2 pixels that a pixel becomes.
    """

    x: Tensor
    weight: Tensor
    H_out: int
    W_out: int
    pad_h: int
    pad_w: int
    STRIDE: int = 1
    UP: int = 1
    norm: Norm | None = None

    @property
    def C_out(self) -> int:
        return self.weight.shape[0] // self.UP**2

    @property
    def key(self) -> str:
        (B, C, H, W), (_, _, KH, KW) = self.x.shape, self.weight.shape
        extras = "up " * (self.UP > 1) + "norm " * (self.norm is not None)
        return f"{B}x{C}x{H}x{W} {self.C_out} {KH}x{KW}/{self.STRIDE} {extras}{self.x.dtype}"

    def suits_tma(self, arch: int) -> bool:
        """Stride 1, 16 bits, nothing applied on load, addresses in multiples of 16 bytes, and no few channels."""
        x, weight = self.x, self.weight
        strides = (x.stride(0), x.stride(2), x.stride(3), x.shape[1])
        aligned = all(s % 8 == 0 and s > 0 for s in strides) and x.data_ptr() % 16 == weight.data_ptr() % 16 == 0
        plain = self.STRIDE == 1 and x.element_size() == 2 and self.norm is None
        return arch >= 90 and plain and aligned and self.C_out >= 32


def conv_launches(
    problem: Problem, epilogue: Epilogue, arch: int | None, config: Config | None, out: Tensor | None = None
) -> tuple[Tensor, list[Launch]]:
    """y: (B, C_out, UP * H_out, UP * W_out), channels last, allocated unless it is out, and the launches that write
    it."""
    x, weight, UP, C_out = problem.x, problem.weight, problem.UP, problem.C_out
    (B, C, H, W), (_, _, KH, KW) = x.shape, weight.shape
    H_out, W_out = problem.H_out, problem.W_out
    arch = arch or architecture(x)
    chosen = dict(config or tuned("conv2d", problem.key, arch) or _choose(problem, arch))
    PARTS = chosen.pop("PARTS")
    BLOCK_K = chosen["BLOCK_K"]
    narrow = "BLOCK_M" in chosen and C < BLOCK_K
    steps = triton.cdiv(KH * KW * C, BLOCK_K) if narrow else KH * KW * triton.cdiv(C, BLOCK_K)

    y = out
    if y is None:
        y = torch.empty((B, UP * H_out, UP * W_out, C_out), dtype=x.dtype, device=x.device).permute(0, 3, 1, 2)
    launches, target, end = [], y, epilogue
    if PARTS > 1:
        parts = torch.empty((PARTS, B, UP * H_out, UP * W_out, C_out), dtype=torch.float32, device=x.device)
        launches, target, end = [add_parts_launch(parts, y, epilogue)], parts[0].permute(0, 3, 1, 2), Epilogue()
    args = {
        "C": C, "H_out": H_out, "W_out": W_out, "C_out": C_out, "pad_h": problem.pad_h, "pad_w": problem.pad_w,
        "steps_per_part": triton.cdiv(steps, PARTS),
        "stride_ps": B * UP * H_out * UP * W_out * C_out,
    } | end.args(target)  # fmt: skip
    constants = {"KH": KH, "KW": KW, "UP": UP, "ACTIVATION": end.activation}
    if "BLOCK_W" in chosen:
        BLOCK_H, BLOCK_W = chosen["BLOCK_H"], chosen["BLOCK_W"]
        tiles_m = triton.cdiv(H_out, BLOCK_H) * triton.cdiv(W_out, BLOCK_W)
        kernel = tma_kernel
        args |= _descriptors(x, weight, [1, BLOCK_H, BLOCK_W, BLOCK_K], [chosen["BLOCK_N"], BLOCK_K])
    else:
        tiles_m = triton.cdiv(H_out * W_out, chosen["BLOCK_M"])
        kernel = gather_kernel
        args |= {
            "x_ptr": x, "weight_ptr": weight, "H": H, "W": W,
            "stride_xb": x.stride(0), "stride_xh": x.stride(2), "stride_xw": x.stride(3),
        } | _norm_args(problem.norm, C)  # fmt: skip
        silu = problem.norm is not None and problem.norm.silu
        constants |= {"STRIDE": problem.STRIDE, "NARROW": narrow, "NORM_SILU": silu}
    grid = (tiles_m * triton.cdiv(C_out, chosen["BLOCK_N"]), PARTS, B * UP * UP)
    ordered = {name: args[name] for name in kernel.arg_names if name in args}
    return y, [launch(kernel, grid, ordered, constants | chosen), *launches]


def _choose(problem: Problem, arch: int) -> Config:
    x, (_, C, KH, KW) = problem.x, problem.weight.shape
    samples = x.shape[0] * problem.UP**2
    tma = problem.suits_tma(arch)
    config = choose(problem.H_out, problem.W_out, C, problem.C_out, KH * KW, samples, x.element_size(), arch, tma)
    return config if problem.norm is None else config | {"num_warps": 8}  # more to compute for each product


def _descriptors(x: Tensor, weight: Tensor, box: list[int], tile: list[int]) -> dict[str, TensorDescriptor]:
    B, C, H, W = x.shape
    rows, columns = weight.shape[0], weight[0].numel()
    strides = [x.stride(0), x.stride(2), x.stride(3), 1]
    return {
        "x_desc": TensorDescriptor(x, [B, H, W, C], strides, box),
        "weight_desc": TensorDescriptor(weight, [rows, columns], [columns, 1], tile),
    }


def _norm_args(norm: Norm | None, C: int) -> dict[str, Tensor | int | None]:
    pointers = ("mean", "rstd", "gamma", "beta", "film_scale", "film_shift")
    fields = ("mean", "rstd", "weight", "bias", "scale", "shift")
    tensors = {p: None if norm is None else getattr(norm, f) for p, f in zip(pointers, fields, strict=True)}
    scale, shift = tensors["film_scale"], tensors["film_shift"]
    return {f"{name}_ptr": tensor for name, tensor in tensors.items()} | {
        "group_size": 1 if norm is None else C // norm.mean.shape[1],
        "stride_film_scale_b": 0 if scale is None else scale.stride(0),
        "stride_film_shift_b": 0 if shift is None else shift.stride(0),
    }

"""What convolutions check before anything is allocated or launched."""

from torch import Tensor, float32

from fewstep.errors import InputError
from fewstep.kernels.checks import check_device, check_dtype, check_last_contiguous, check_range, check_shape
from fewstep.kernels.conv2d_epilogue import Epilogue
from fewstep.kernels.conv2d_launch import Norm
from fewstep.kernels.strided import check_written

Padding = int | tuple[int, int, int, int]  # or left, right, top, bottom, in the order of torch.nn.functional.pad
MAX_KERNEL = 31
MAX_SIDE = 2**15  # pixels, which are counted in 32 bits


def check_picture(x: Tensor, weight: Tensor) -> None:
    """x: (B, C, H, W), channels last; weight: (any, C, KH, KW), channels last and dense."""
    check_shape("x", x, (None, None, None, None))
    check_shape("weight", weight, (None, x.shape[1], None, None))
    check_dtype("x", x)
    check_dtype("weight", weight, (x.dtype,))
    for name, side in (("height", x.shape[2]), ("width", x.shape[3])):
        check_range(name, side, 1, MAX_SIDE)
    for name, side in (("KH", weight.shape[2]), ("KW", weight.shape[3])):
        check_range(name, side, 1, MAX_KERNEL)
    check_channels_last("x", x)
    if not weight.permute(0, 2, 3, 1).is_contiguous():
        raise InputError(f"weight: expected it as arrange_weight gives it, got strides {tuple(weight.stride())}")
    check_device(x=x, weight=weight)


def sides(padding: Padding) -> tuple[int, int, int, int]:
    return padding if isinstance(padding, tuple) else (padding,) * 4


def output_size(x: Tensor, weight: Tensor, stride: int, padding: Padding) -> tuple[int, int]:
    """Height and width of y."""
    (H, W), (KH, KW) = x.shape[2:], weight.shape[2:]
    check_range("stride", stride, 1, 8)
    if len(sides(padding)) != 4:
        raise InputError(f"padding: expected a number, or left, right, top and bottom, got {padding!r}")
    left, right, top, bottom = sides(padding)
    for name, side, K in (("left", left, KW), ("right", right, KW), ("top", top, KH), ("bottom", bottom, KH)):
        check_range(f"padding {name}", side, 0, K - 1)
    H_padded, W_padded = H + top + bottom, W + left + right
    if H_padded < KH or W_padded < KW:
        raise InputError(f"x: expected at least {KH}x{KW} pixels with the padding, got {H_padded}x{W_padded}")
    return (H_padded - KH) // stride + 1, (W_padded - KW) // stride + 1


def check_epilogue(x: Tensor, end: Epilogue, shape: tuple[int, int, int, int]) -> None:
    """shape: of y."""
    B, C_out, _, _ = shape
    for name, tensor, expected in (
        ("bias", end.bias, (C_out,)),
        ("embedding", end.embedding, (B, C_out)),
        ("residual", end.residual, shape),
    ):
        if tensor is not None:
            check_shape(name, tensor, expected)
            check_dtype(name, tensor)
            if name == "residual":
                check_channels_last(name, tensor)
            else:
                check_last_contiguous(name, tensor)
    if end.activation not in (None, "silu", "relu"):
        raise InputError(f"activation: expected None, 'silu' or 'relu', got {end.activation!r}")
    check_device(x=x, bias=end.bias, embedding=end.embedding, residual=end.residual)


def check_output(x: Tensor, out: Tensor | None, shape: tuple[int, int, int, int]) -> None:
    """out may have another dtype than x."""
    if out is not None:
        check_shape("out", out, shape)
        check_dtype("out", out)
        check_channels_last("out", out)
        check_written("out", out)
        check_device(x=x, out=out)


def check_norm(x: Tensor, norm: Norm) -> None:
    B, C, _, _ = x.shape
    check_shape("norm.mean", norm.mean, (B, None))
    G = norm.mean.shape[1]
    if C % G:
        raise InputError(f"norm.mean: expected groups that divide {C} channels, got {G}")
    for name in ("mean", "rstd"):
        tensor = getattr(norm, name)
        check_shape(f"norm.{name}", tensor, (B, G))
        check_dtype(f"norm.{name}", tensor, (float32,))
        if not tensor.is_contiguous():
            raise InputError(f"norm.{name}: expected it contiguous, got strides {tuple(tensor.stride())}")
    for pair, shape in ((("weight", "bias"), (C,)), (("scale", "shift"), (B, C))):
        tensors = [getattr(norm, name) for name in pair]
        for name, tensor in zip(pair, tensors, strict=True):
            if tensor is None:
                continue
            check_shape(f"norm.{name}", tensor, shape)
            check_dtype(f"norm.{name}", tensor)
            check_last_contiguous(f"norm.{name}", tensor)
        if (tensors[0] is None) != (tensors[1] is None):
            raise InputError(f"norm: expected both of {pair[0]} and {pair[1]} or neither, got one")
    check_device(x=x, **{f"norm.{name}": t for name, t in vars(norm).items() if isinstance(t, Tensor)})


def check_channels_last(name: str, x: Tensor) -> None:
    if x.shape[1] > 1 and x.stride(1) != 1:
        raise InputError(f"{name}: expected channels last (stride 1 in the channels), got strides {tuple(x.stride())}")

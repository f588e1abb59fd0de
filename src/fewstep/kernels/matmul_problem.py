"""One matrix product with its neighbours, checked: what its kernels are launched with."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.activation import ACTIVATIONS, Activation
from fewstep.kernels.checks import (
    check_choice,
    check_device,
    check_dtype,
    check_last_contiguous,
    check_range,
    check_shape,
)

Glu = Literal["value_first", "gate_first"]
MAX_SIZE = 2**30  # of M, N and K: tiles overrun them in int32


@dataclass(frozen=True)
class Problem:
    """a: (B, T, K); b: (N, K), or (2 N, K) with glu; residual: (B, T, N)."""

    a: Tensor
    b: Tensor
    bias: Tensor | None
    activation: Activation | None
    glu: Glu | None
    scale: float
    gate: Tensor | None
    residual: Tensor | None

    @property
    def halves(self) -> int:
        return 1 if self.glu is None else 2

    @property
    def sizes(self) -> tuple[int, int, int]:
        """M, N, K of a tile's walk."""
        B, T, K = self.a.shape
        return B * T, len(self.b) // self.halves, K

    @property
    def key(self) -> str:
        M, N, K = self.sizes
        return f"{M}x{N}x{K} {self.a.dtype}" + ("" if self.glu is None else " glu")

    @property
    def epilogue(self) -> dict[str, Any]:
        """The arguments that finish a tile."""
        r = self.residual
        return {
            "bias_ptr": self.bias, "gate_ptr": self.gate, "residual_ptr": r,
            "T": self.a.shape[1], "scale": self.scale,
            "stride_gb": 0 if self.gate is None else self.gate.stride(0),
            "stride_rb": 0 if r is None else r.stride(0), "stride_rt": 0 if r is None else r.stride(1),
        }  # fmt: skip

    def row_stride(self) -> int | None:
        """Of a's B T rows, where they have one."""
        B, T, _ = self.a.shape
        stride_b, stride_t, _ = self.a.stride()
        if T == 1:
            return stride_b
        return stride_t if B == 1 or stride_b == T * stride_t else None

    def is_one_sample(self, block_m: int) -> bool:
        """Whether no block of rows, counted from the first, has rows of two samples."""
        B, T, _ = self.a.shape
        return B == 1 or T % block_m == 0

    def suits_tma(self) -> bool:
        """16-bit, rows at one stride, and all at multiples of 16 bytes, as the tensor memory accelerator asks."""
        stride = self.row_stride()
        unit = 16 // self.a.element_size()
        starts = self.a.data_ptr() % 16 == 0 and self.b.data_ptr() % 16 == 0
        return (
            self.a.element_size() == 2
            and starts
            and stride is not None
            and stride % unit == 0
            and self.b.stride(0) % unit == 0
        )


def problem(
    a: Tensor,
    b: Tensor,
    *,
    bias: Tensor | None,
    activation: Activation | None,
    glu: Glu | None,
    scale: float,
    gate: Tensor | None,
    residual: Tensor | None,
) -> Problem:
    """Raises InputError for what the kernels cannot take."""
    if a.dim() < 2 or (gate is not None and a.dim() != 3):
        wanted = "(..., K)" if gate is None else "(B, T, K), as there is a gate of each sample"
        raise InputError(f"a: expected shape {wanted}, got {tuple(a.shape)}")
    check_shape("a", a, (None,) * a.dim())
    K = a.shape[-1]
    check_shape("b", b, (None, K))
    if glu is not None:
        check_choice("glu", glu, ("value_first", "gate_first"))
        if activation is None or len(b) % 2:
            raise InputError(
                f"glu: expected an activation and value and gate rows in b, got {activation}, {len(b)} rows"
            )
    if activation is not None:
        check_choice("activation", activation, tuple(ACTIVATIONS))
    if isinstance(scale, bool) or not isinstance(scale, int | float):
        raise InputError(f"scale: expected a number, got {scale!r}")
    N = len(b) // (1 if glu is None else 2)
    rows, width = _samples("a", a), len(b)
    M = rows.shape[0] * rows.shape[1]
    for name, size in (("M", M), ("N", width), ("K", K)):
        check_range(name, size, 1, MAX_SIZE)
    if bias is not None:
        check_shape("bias", bias, (width,))
    if gate is not None:
        check_shape("gate", gate, (len(a), N))
    if residual is not None:
        check_shape("residual", residual, (*a.shape[:-1], N))
        residual = _samples("residual", residual)
    tensors = {"a": a, "b": b, "bias": bias, "gate": gate, "residual": residual}
    for name, x in tensors.items():
        if x is not None:
            check_dtype(name, x)
            check_last_contiguous(name, x)
    if b.dtype != a.dtype:
        raise InputError(f"b: expected {a.dtype} as a, got {b.dtype}")
    check_device(**tensors)
    return Problem(rows, b, bias, activation, glu, float(scale), gate, residual)


def _samples(name: str, x: Tensor) -> Tensor:
    """x as (B, T, last), a view."""
    if x.dim() == 3:
        return x
    try:
        return x.view(1, -1, x.shape[-1])
    except RuntimeError:
        raise InputError(f"{name}: expected rows at one stride, got shape {tuple(x.shape)}, {x.stride()}") from None

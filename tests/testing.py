"""The one tolerance policy: a kernel may err little more than PyTorch does in the same dtype. And margins of NaN."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor


def assert_as_good_as(out: Tensor, eager: Tensor, truth: Tensor) -> None:
    """out: the kernel's; eager: the reference in out's dtype; truth: the reference in fp64."""
    import torch

    assert out.shape == truth.shape and out.dtype == eager.dtype
    assert out.isfinite().all()
    ulp = torch.finfo(out.dtype).eps * truth.abs().max()
    err, eager_err = (out.double() - truth).abs(), (eager.double() - truth).abs()
    errors = {
        "max": (err.max(), 4 * eager_err.max() + ulp),
        "rms": (err.square().mean().sqrt(), 2 * eager_err.square().mean().sqrt() + ulp),
    }
    for name, (got, allowed) in errors.items():
        assert got <= allowed, f"{name} error {got:.3e} > {allowed:.3e}"


MARGIN = 4096  # bytes
POISON = 255  # every byte of a margin: NaN in each floating dtype, fp8 too


class Margins:
    """Tensors in the middle of larger buffers: what is read outside is NaN, what is written outside is found."""

    live: ClassVar[list[Margins]] = []  # of the running test: memory that is not handed out anew before its end

    def __init__(self) -> None:
        self._margins: list[Tensor] = []
        self.live.append(self)

    def around(self, x: Tensor) -> Tensor:
        """An uninitialised tensor of x's sizes, strides, dtype and device, all NaN."""
        import torch

        if x.device.type == "meta" or x.numel() == 0:
            return x
        span = sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True)) + 1
        padding = -span * x.element_size() % 16  # after the span, so that any dtype can view the buffer
        shape = (2 * MARGIN + span * x.element_size() + padding,)
        buffer = torch.full(shape, POISON, dtype=torch.uint8, device=x.device)
        self._margins += [buffer[:MARGIN], buffer[MARGIN + span * x.element_size() :]]
        return buffer.view(x.dtype).as_strided(x.shape, x.stride(), MARGIN // x.element_size())

    @classmethod
    def ranges(cls) -> list[tuple[int, int]]:
        """Where all margins begin and end, in bytes."""
        return sorted((m.data_ptr(), m.data_ptr() + m.nbytes) for margins in cls.live for m in margins._margins)

    def check(self) -> None:
        assert all((margin == POISON).all() for margin in self._margins), "written out of bounds"


def guarded(x: Tensor) -> Tensor:
    """A copy of x, strides and all, with margins of NaN: a lost mask brings them in."""
    return Margins().around(x).copy_(x)

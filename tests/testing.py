"""The one tolerance policy: a kernel may err little more than PyTorch does in the same dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

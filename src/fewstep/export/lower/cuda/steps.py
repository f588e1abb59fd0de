"""The launches of one operation as they are collected, with the copies that an operand or a result needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from fewstep.errors import InputError, LoweringError
from fewstep.export.lower.program import Op
from fewstep.kernels.launch import Launch
from fewstep.kernels.map import map_launches

Made = tuple[Any, list[Launch]]  # what a launcher returns


@dataclass
class Steps:
    """Of one operation on one architecture. folded: the weight of an upsampling convolution, prepared for it."""

    op: Op
    arch: int
    folded: Tensor | None = None
    launches: list[Launch] = field(default_factory=list)

    @property
    def attributes(self) -> Mapping[str, Any]:
        return self.op.attributes

    def refuse(self, what: str) -> LoweringError:
        return LoweringError(f"node {self.op.name}: {self.op.op} on a GPU: {what}; the device cpu can run it")

    def call(self, launcher: Callable[..., Made], *args: Any, **kwargs: Any) -> Any:
        """Adds what a launcher describes; returns its outputs. Its refusal becomes a LoweringError naming the node."""
        try:
            outputs, launches = launcher(*args, **kwargs, arch=self.arch)
        except InputError as error:
            raise self.refuse(str(error)) from error
        self.launches += launches
        return outputs

    def map(self, inputs: Sequence[Tensor], code: Sequence[Any], out: Tensor) -> Tensor:
        result: Tensor = self.call(map_launches, inputs, code, out)
        return result

    def copied(self, x: Tensor, order: Sequence[int] | None = None) -> Tensor:
        """A temporary copy; order: its axes from the outermost to the innermost, row-major unless given."""
        axes = range(x.dim()) if order is None else order
        dense = torch.empty([x.shape[axis] for axis in axes], dtype=x.dtype, device=x.device)
        return self.map([x], [], dense.permute([list(axes).index(axis) for axis in range(x.dim())]))

    def rows(self, x: Tensor) -> Tensor:
        """x, copied unless its last axis is contiguous."""
        return x if x.shape[-1] == 1 or x.stride(-1) == 1 else self.copied(x)

    def channels_last(self, x: Tensor) -> Tensor:
        """x, (B, C, ...), copied unless its channels are."""
        return x if x.shape[1] == 1 or x.stride(1) == 1 else self.copied(x, (0, *range(2, x.dim()), 1))

    def leave(self, y: Tensor, out: Tensor, *, apart: bool = False) -> None:
        """What the launches write to y, which a launcher allocated, they write to out, where that is of y's layout;
        else, or if out must stay as it is until the last of them has run, it is copied there."""
        if apart or not _same_layout(y, out):
            self.map([y], [], out)
        else:
            self.launches = [_redirected(launch, y, out) for launch in self.launches]


def _same_layout(y: Tensor, out: Tensor) -> bool:
    """Whether launches that were described for y, at a multiple of 16 bytes, are right for out."""
    axes = zip(y.shape, y.stride(), out.stride(), strict=True)
    return out.data_ptr() % 16 == 0 and all(size == 1 or a == b for size, a, b in axes)


def _redirected(launch: Launch, y: Tensor, out: Tensor) -> Launch:
    storage = y.untyped_storage()._cdata

    def moved(arg: Any) -> Any:
        if isinstance(arg, TensorDescriptor):
            return replace(arg, base=moved(arg.base))
        if not isinstance(arg, Tensor) or arg.untyped_storage()._cdata != storage:
            return arg
        offset = out.storage_offset() + arg.storage_offset() - y.storage_offset()
        return out.as_strided(arg.shape, arg.stride(), offset)

    return replace(launch, args={name: moved(arg) for name, arg in launch.args.items()})

"""Weights of 16 bits that a network takes for float32: each is widened when something is computed of it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

SMALL = 1 << 16  # elements; what has fewer is float32 at once, which takes little and is met more quickly
KEPT = (torch.ops.aten.detach.default, torch.ops.aten.alias.default)


class Widened(Tensor):
    """A float32 tensor whose values are kept as float16 or bfloat16, such as in a file's pages.

    What is computed of it is that of the same values in float32, to the bit, and a plain tensor. It is not written to.
    """

    stored: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, stored: Tensor) -> "Widened":
        wrapper: Any = torch.Tensor._make_wrapper_subclass
        made: Widened = wrapper(cls, stored.shape, stored.stride(), dtype=torch.float32, device=stored.device)
        made.stored = stored
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        if func in KEPT:
            return Widened(args[0].stored)
        if func._schema.is_mutable and isinstance(args[0], Widened):
            raise TypeError(f"{func}: a widened weight is not written to; see plain")
        return func(*tree_map(_float32, args), **tree_map(_float32, kwargs or {}))


def widened(tensor: Tensor) -> Tensor:
    """Its values as float32; those of a large one of 16 bits on a CPU stay where they are."""
    if tensor.dtype == torch.float32 or tensor.device.type != "cpu" or tensor.numel() < SMALL:
        return tensor.to(torch.float32)
    return Widened(tensor)


def plain(network: nn.Module) -> None:
    """Replaces the network's widened weights by float32 copies, which can be written to."""
    copies: dict[Tensor, nn.Parameter] = {}  # one that several modules share stays shared
    for module in network.modules():
        for name, weight in module.named_parameters(recurse=False):
            if isinstance(weight, Widened):
                if weight not in copies:
                    copies[weight] = nn.Parameter(_float32(weight), requires_grad=False)
                setattr(module, name, copies[weight])


def _float32(value: Any) -> Any:
    return value.stored.to(torch.float32) if isinstance(value, Widened) else value

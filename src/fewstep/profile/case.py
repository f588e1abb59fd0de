"""One thing to measure: an operation at the shape and with the inputs that a model family gives it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fewstep.kernels.cost import Cost
from fewstep.kernels.launch import Launch

Inputs = dict[str, Any]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """op: the kernel's name; shape: as people read it; families: who has this shape.

    make(device, dtype, seed) gives the arguments by name that every other function takes: random, never zero, of
    non-zero mean. On the device "meta" they are shapes alone, for ahead-of-time compilation. reference is the eager
    PyTorch of the family's own modules; libraries are further baselines by name, such as one SDPA backend each.
    """

    op: str
    shape: str
    families: tuple[str, ...]
    make: Callable[[str, torch.dtype, int], Inputs]
    fused: Function
    reference: Function
    launches: Callable[..., tuple[Any, list[Launch]]]
    cost: Callable[..., Cost]
    libraries: Mapping[str, Function] = field(default_factory=dict)
    dtypes: tuple[torch.dtype, ...] = (torch.bfloat16,)

    @property
    def name(self) -> str:
        return f"{self.op} {self.shape}"


def tensors(value: Any) -> list[Tensor]:
    """All that an argument holds, or arguments by name: in tuples and lists too."""
    if isinstance(value, Mapping):
        return tensors(list(value.values()))
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in tensors(item)]
    return [value] if isinstance(value, Tensor) else []


def normal(device: str, dtype: torch.dtype, seed: int, *shape: int, mean: float = 0.5) -> Tensor:
    """Random numbers of a mean that is not zero, or lost masks go unseen."""
    if device == "meta":
        return torch.empty(shape, dtype=dtype, device=device)
    generator = torch.Generator(device).manual_seed(seed)
    return (torch.randn(shape, generator=generator, device=device) + mean).to(dtype)

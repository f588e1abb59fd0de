"""A network that is traced without its weights in memory: they wait where they are until they are written."""

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fewstep.export.checkpoints.widened import Widened, widened
from fewstep.export.tidy import UNREAD
from fewstep.export.weights import LARGE

ROUNDED = {"fp16": torch.float16, "fp32": torch.float32}


class StandIns:
    """In the place of a network's large weights: memory that nothing touches, so that it takes none."""

    def __init__(self, network: nn.Module, dtype: str) -> None:
        """The network then has stand-ins, and its other weights as float32, rounded as `dtype` stores them."""
        self._network, self._dtype = network, dtype
        self._kept: dict[int, Tensor] = {}  # by the address of what stands for it
        self._found: dict[int, tuple[str, Tensor]] = {}
        for weight, places in _weights(network):
            _put(places, self._stand_in(weight) if weight.numel() >= UNREAD else self._rounded(weight))

    def find(self, model: ir.Model) -> None:
        """Which initializers of the traced network they are, or are views of; before it gives its weights away."""
        for name, value in model.graph.initializers.items():
            raw = _raw(value.const_value)
            if raw is not None and raw.data_ptr() in self._kept:
                self._found[raw.data_ptr()] = name, raw

    def read(self, tensor: ir.TensorProtocol) -> NDArray[Any]:
        """An initializer's values: those of the weight that its tensor stands for, or is a view of."""
        raw = _raw(tensor)
        kept = None if raw is None else self._kept.get(raw.data_ptr())
        if raw is None or kept is None:
            return tensor.numpy()
        values = (kept.stored if isinstance(kept, Widened) else kept).contiguous().as_strided(raw.shape, raw.stride())
        array: NDArray[Any] = (values if values.dtype == torch.float16 else values.to(torch.float32)).numpy()
        return array

    def restore(self, stored: Mapping[str, Tensor]) -> None:
        """The network has the weights that were written, in their file's pages. stored: by the initializers' names."""
        for weight, places in _weights(self._network):
            address = weight.data_ptr()
            if address in self._found:
                name, raw = self._found[address]
                axes = sorted(range(raw.dim()), key=lambda axis: raw.stride()[axis], reverse=True)
                _put(places, widened(stored[name].permute(axes).reshape(weight.shape)))
            elif address in self._kept:
                _put(places, self._rounded(self._kept[address]))
        self._kept.clear()
        self._found.clear()

    def _stand_in(self, weight: Tensor) -> Tensor:
        made = torch.empty(weight.shape, dtype=torch.float32)
        self._kept[made.data_ptr()] = weight
        return made

    def _rounded(self, weight: Tensor) -> Tensor:
        wide = weight.to(torch.float32, copy=True)
        return wide.to(ROUNDED[self._dtype]).to(torch.float32) if wide.numel() >= LARGE else wide


def release(network: nn.Module) -> None:
    """Gives its weights up; shapes stay."""
    for weight, places in _weights(network):
        _put(places, torch.empty(weight.shape, device="meta"))


Places = list[tuple[nn.Module, str]]


def _weights(network: nn.Module) -> list[tuple[Tensor, Places]]:
    """Each float32 weight once, with everywhere it is."""
    found: dict[int, tuple[Tensor, Places]] = {}
    for module in network.modules():
        for name, weight in module.named_parameters(recurse=False):
            if weight.dtype == torch.float32:
                found.setdefault(id(weight), (weight.detach(), []))[1].append((module, name))
    return list(found.values())


def _put(places: Places, weight: Tensor) -> None:
    parameter = nn.Parameter(weight, requires_grad=False)
    for module, name in places:
        setattr(module, name, parameter)


def _raw(tensor: ir.TensorProtocol | None) -> Tensor | None:
    """The tensor of PyTorch that an initializer has."""
    raw = getattr(tensor, "raw", None)
    return raw if isinstance(raw, Tensor) else None

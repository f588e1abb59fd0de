"""A network that is traced without its weights in memory: they wait where they are until they are written."""

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fewstep.export.checkpoints.widened import Widened, widened
from fewstep.export.weights import LARGE

ROUNDED = {"fp16": torch.float16, "fp32": torch.float32}
MET = 1 << 16  # elements; tracing may compute with smaller weights, and with no larger ones


class StandIns:
    """In the place of a network's large weights: memory that nothing touches, so that it takes none."""

    def __init__(self, network: nn.Module, dtype: str) -> None:
        """The network then has stand-ins, and its other weights as float32, rounded as `dtype` stores them."""
        self._network, self._dtype = network, dtype
        self._kept: dict[int, Tensor] = {}
        self._names: dict[int, str] = {}
        for weight, places in _weights(network):
            _put(places, self._stand_in(weight) if weight.numel() >= MET else self._rounded(weight))

    def find(self, model: ir.Model) -> None:
        """Which initializers of the traced network they are; before it gives its weights away."""
        addresses = {_address(value.const_value): name for name, value in model.graph.initializers.items()}
        self._names = {address: name for address, name in addresses.items() if address in self._kept}

    def read(self, tensor: ir.TensorProtocol) -> NDArray[Any]:
        """An initializer's values: those of the weight that its tensor stands for."""
        kept = self._kept.get(_address(tensor))
        if kept is None:
            return tensor.numpy()
        assert tuple(tensor.shape.numpy()) == kept.shape, tensor.name
        values = kept.stored if isinstance(kept, Widened) else kept
        array: NDArray[Any] = (values if values.dtype == torch.float16 else values.to(torch.float32)).numpy()
        return array

    def restore(self, stored: Mapping[str, Tensor]) -> None:
        """The network has the weights that were written, in their file's pages. stored: by the initializers' names."""
        for weight, places in _weights(self._network):
            kept = self._kept.get(weight.data_ptr())
            if kept is not None:
                name = self._names.get(weight.data_ptr())
                _put(places, self._rounded(kept) if name is None else widened(stored[name]))
        self._kept.clear()

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


def _address(tensor: ir.TensorProtocol | None) -> int:
    """Where the tensor of PyTorch lies that an initializer has, else 0."""
    raw = getattr(tensor, "raw", None)
    return raw.data_ptr() if isinstance(raw, Tensor) else 0

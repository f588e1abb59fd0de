"""A program's values as tensors on meta, which launchers describe launches with, and those tensors as values again."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fewstep.export.lower.program import DTYPES, Program, Value

TORCH: Mapping[str, torch.dtype] = {
    "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
    "i64": torch.int64, "i32": torch.int32, "u8": torch.uint8,
}  # fmt: skip
NAMES = {dtype: name for name, dtype in TORCH.items()}
PROMISE = 16  # bytes: what a launcher concludes from an address is that it is a multiple of this


@dataclass
class Numbers:
    """The values and buffers of a program, to which more can be added."""

    values: list[Value]
    buffers: list[tuple[int, int]]
    _known: dict[Value, int] = field(default_factory=dict)

    @classmethod
    def of(cls, program: Program) -> "Numbers":
        known = {value: index for index, value in reversed(list(enumerate(program.values)))}
        return cls(list(program.values), list(program.buffers), known)

    def value(self, value: Value) -> int:
        if value not in self._known:
            self._known[value] = len(self.values)
            self.values.append(value)
        return self._known[value]

    def buffer(self, bytes: int) -> int:
        self.buffers.append((0, bytes))
        return len(self.buffers) - 1


@dataclass
class Operands:
    """Of one operation: each value has a storage of its own, whatever buffer it lies in.

    A tensor's address stands for its value's within the buffer or weight, which begin at multiples of 64. One that
    moves with the step or the row is no multiple of 16 bytes here, so that nothing is concluded from where it begins.
    """

    numbers: Numbers
    _bases: dict[int, tuple[Tensor, Value, int]] = field(default_factory=dict)  # by storage: value, elements it shifts
    _tensors: dict[Value, Tensor] = field(default_factory=dict)
    _temporaries: dict[int, tuple[Tensor, int]] = field(default_factory=dict)  # by storage: its buffer

    def tensor(self, value: Value) -> Tensor:
        if value not in self._tensors:
            shift = _shift(value)
            span = sum((size - 1) * stride for size, stride in zip(value.shape, value.strides, strict=True)) + 1
            flat = torch.empty(value.offset + shift + span, dtype=TORCH[value.type], device="meta")
            tensor = flat.as_strided(value.shape, value.strides, value.offset + shift)
            self._tensors[value] = tensor
            self._bases[_storage(tensor)] = (tensor, value, shift)
        return self._tensors[value]

    def value(self, tensor: Tensor) -> int:
        """The number of what a tensor addresses: a view of an operand, or of a buffer of its own if it is none."""
        storage, type = _storage(tensor), NAMES[tensor.dtype]
        shape, strides, offset = tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset())
        if storage in self._bases:
            _, base, shift = self._bases[storage]
            return self.numbers.value(
                Value(type, shape, strides, offset - shift, base.buffer, base.weight, base.row, base.step)
            )
        if storage not in self._temporaries:
            self._temporaries[storage] = (tensor, self.numbers.buffer(tensor.untyped_storage().nbytes()))
        return self.numbers.value(Value(type, shape, strides, offset, self._temporaries[storage][1]))

    def scratch(self, bytes: int) -> int:
        return self.numbers.value(Value("u8", (bytes,), (1,), 0, self.numbers.buffer(bytes)))


def _shift(value: Value) -> int:
    if not value.row and not value.step:
        return 0
    return 0 if value.offset * DTYPES[value.type] % PROMISE else 1


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)

"""A plan's program as data (docs/plan.md): what lowering makes, what is written to a file and what `inspect` prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DTYPES = {"f32": 4, "f16": 2, "bf16": 2, "i64": 8, "i32": 4, "u8": 1}


@dataclass(frozen=True)
class Value:
    """A strided view of a buffer or of a weight. strides, offset, row and step are in elements.

    At step i of N it begins at offset + (first row of N + i) * row + i * step.
    """

    type: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    buffer: int | None = None
    weight: str | None = None
    row: int = 0
    step: int = 0


@dataclass(frozen=True)
class Op:
    """inputs, outputs: indices of values, None for an input that is left out. launches: for a GPU, as docs/plan.md."""

    op: str
    name: str
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    launches: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Stage:
    name: str
    ops: tuple[Op, ...]
    steps: int = 0


@dataclass(frozen=True)
class Program:
    """buffers: (offset, bytes) of each. The other fields are the keys of docs/plan.md."""

    target: Mapping[str, Any]
    precision: str
    model: Mapping[str, Any]
    batch: int
    arena: int
    buffers: Sequence[tuple[int, int]]
    values: Sequence[Value]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    stages: Sequence[Stage]
    schedule: Mapping[str, Any] | None = None
    passes: Sequence[Mapping[str, Any]] = ()
    adapters: Mapping[str, Any] | None = None
    certificate: Mapping[str, Any] | None = None

"""What bundle.json says, as types. docs/bundle.md describes every field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The stages of a component, in the order they run; export/staging/stage.py says what each is.
TABLES, PROMPT, MODULATION, STEP = "tables", "prompt", "modulation", "step"
STAGES = (TABLES, PROMPT, MODULATION, STEP)


@dataclass(frozen=True)
class FileEntry:
    """sha256: lower-case hex; size: bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class License:
    spdx: str
    file: str


@dataclass(frozen=True)
class StateSpec:
    """shape: of one state x without its batch axis."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class LatentSpec:
    """A decoder reads x / scaling_factor + shift_factor."""

    scaling_factor: float
    shift_factor: float


@dataclass(frozen=True)
class ImageSpec:
    """range: the values that become black and white."""

    width: int
    height: int
    channels: int
    range: tuple[float, float]


@dataclass(frozen=True)
class LabelTable:
    """values[i] is row i of the network's table; null is the row that means no label."""

    name: str
    values: tuple[str, ...]
    null: int


@dataclass(frozen=True)
class ScheduleContract:
    """steps: legal step count N -> options; schedule(name, N, **steps[N]) is what the model was distilled for."""

    name: str
    default_steps: int
    guidance: float
    steps: Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True)
class TensorSpec:
    """shape: the batch axis is "B"."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Stage:
    """Part of a component, whose weights it reads. graph: the ONNX file; inputs and outputs: named as in the whole."""

    graph: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Component:
    """graph: the ONNX file; weights: the safetensors files its external data lies in.

    stages: by name, the same network in parts, for loops that compute nothing twice. Empty, or `step` is among them.
    """

    graph: str
    weights: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    stages: Mapping[str, Stage] = field(default_factory=dict)


@dataclass(frozen=True)
class Contract:
    """What a model promises, whatever file holds it: the part that export reads from contract.json."""

    name: str
    description: str
    license: License
    latent: LatentSpec
    image: ImageSpec
    labels: tuple[LabelTable, ...]
    schedule: ScheduleContract


@dataclass(frozen=True)
class Manifest(Contract):
    family: str
    state: StateSpec
    components: Mapping[str, Component]
    files: Mapping[str, FileEntry]

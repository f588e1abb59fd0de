"""What bundle.json says, as types. docs/bundle.md describes every field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The stages of a component, in the order they run; export/staging/stage.py says what each is.
TABLES, PROMPT, MODULATION, STEP = "tables", "prompt", "modulation", "step"
STAGES = (TABLES, PROMPT, MODULATION, STEP)
# Components; of them only the denoiser must be there.
ENCODE_PROMPT, DENOISER, DECODER, ENCODER = "prompt", "denoiser", "decoder", "encoder"
LABELS = "labels"  # what a request's label rows are called, whatever the network calls them
NULL = "null_"  # before an input's name: its value for the output that guidance leads away from


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
    """steps: legal step count N -> options; schedule(name, N, **steps[N]) is what the model was distilled for.

    guidance: unless it is 1 the network runs twice a step, and its outputs are combined. guidance_range: the scales it
    was distilled for, guidance alone where it is None.
    """

    name: str
    default_steps: int
    guidance: float
    steps: Mapping[int, Mapping[str, Any]]
    guidance_range: tuple[float, float] | None = None

    @property
    def is_guided(self) -> bool:
        return self.guidance != 1


@dataclass(frozen=True)
class TextSpec:
    """How a prompt becomes `length` tokens, as inputs `ids` and, unless it is None, `mask`, 1 where tokens count.

    tokenizer: a tokenizer.json. pad: the id after the prompt's end. template: what the prompt is put into, at "{}", in
    lower case and without blanks around it if `lower`.
    """

    tokenizer: str
    ids: str
    mask: str | None
    length: int
    pad: int
    template: str
    lower: bool


@dataclass(frozen=True)
class GuidanceSpec:
    """Guidance that the network takes as an input, float32 ("B",): what it may be, and is unless a request says."""

    input: str
    default: float
    low: float
    high: float


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
    texts: tuple[TextSpec, ...] = ()
    embedded_guidance: GuidanceSpec | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest(Contract):
    family: str
    state: StateSpec
    components: Mapping[str, Component]
    files: Mapping[str, FileEntry]

    @property
    def conditions(self) -> tuple[TensorSpec, ...]:
        """What the denoiser takes beside the state and the time."""
        return self.components[DENOISER].inputs[2:]

    @property
    def requested(self) -> tuple[TensorSpec, ...]:
        """What a request brings: the inputs of the prompt's component, or the conditions where there is none."""
        prompt = self.components.get(ENCODE_PROMPT)
        return self.conditions if prompt is None else prompt.inputs

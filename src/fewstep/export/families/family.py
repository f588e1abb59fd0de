"""A family of models as data: which networks it is made of, at which sizes, and the schedule it was distilled for."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Literal

import torch
from torch import nn

from fewstep.engine.backends.torch.generation import Input
from fewstep.engine.schedule import Schedule, schedule
from fewstep.errors import ContractError, InputError

SizeName = Literal["tiny", "full"]
Config = Mapping[str, Any]


@dataclass(frozen=True)
class Network:
    """A class of diffusers or transformers and its configuration, as in the config.json of a published checkpoint."""

    library: Literal["diffusers", "transformers"]
    kind: str
    config: Config

    def make(self) -> nn.Module:
        """The module, initialised as its library does, on the default device."""
        if self.library == "diffusers":
            module: nn.Module = self._class()(**self.config)
        else:
            module = self._class()(self._class().config_class(**self.config))
        return module.eval().requires_grad_(False)

    def setting(self, key: str) -> Any:
        """Of its configuration, or of its class where that leaves it out."""
        if key in self.config:
            return self.config[key]
        if self.library == "transformers":
            return getattr(self._class().config_class(), key)
        return inspect.signature(self._class().__init__).parameters[key].default

    def _class(self) -> Any:
        return getattr(import_module(self.library), self.kind)


@dataclass(frozen=True)
class Text:
    """How a prompt becomes the tokens of one encoder, as the family's pipeline in diffusers does it.

    tokenizer: its folder. ids, mask: the inputs it makes, int64 (B, length), padded and cut; mask is 1 where ids count,
    None for a network that takes none. template: what the prompt is put into, at "{}"; lower: in lower case, without
    blanks around it. instructed: what the template has before the prompt is an instruction whose tokens, all but two,
    come beside length; only the tokenizer knows how many they are, so with_instructions makes room for them.
    """

    tokenizer: str
    ids: str
    length: int
    mask: str | None = None
    template: str = "{}"
    lower: bool = False
    instructed: bool = False


@dataclass(frozen=True)
class Guidance:
    """Guidance that is an input of the network, float32 (B,): as a request names it, and what it may be."""

    default: float
    low: float
    high: float
    input: str = "guidance"


@dataclass(frozen=True)
class Size:
    """networks by role; the tensors a request brings; the state's shape (C, H, W) and the image's (H, W).

    texts, guidance: which of the inputs are made of the prompt, and of the guidance scale.
    """

    networks: Mapping[str, Network]
    inputs: tuple[Input, ...]
    latent: tuple[int, int, int]
    image: tuple[int, int]
    texts: tuple[Text, ...] = ()
    guidance: Guidance | None = None


def with_instructions(size: Size, count: Callable[[str, str], int]) -> Size:
    """The size with room for the instructions of its texts.

    count: (tokenizer's folder, text) -> how many tokens the tokenizer makes of the text, special ones included.
    """
    more: dict[str, int] = {}
    for text in size.texts:
        if text.instructed:
            beside = count(text.tokenizer, text.template.split("{}")[0]) - 2
            more |= {name: beside for name in (text.ids, text.mask) if name is not None}
    inputs = (
        replace(spec, shape=(spec.shape[0] + more[spec.name],)) if spec.name in more else spec for spec in size.inputs
    )
    texts = (
        replace(text, length=text.length + more[text.ids], instructed=False) if text.instructed else text
        for text in size.texts
    )
    return replace(size, inputs=tuple(inputs), texts=tuple(texts))


@dataclass(frozen=True)
class Contract:
    """steps: legal step count N -> options; schedule(name, N, **steps[N]) is what the model was distilled for.

    guidance, guidance_range: of a family whose network runs twice a step, as in a ScheduleContract.
    """

    name: str
    default_steps: int
    steps: Mapping[int, Config]
    guidance: float = 1.0
    guidance_range: tuple[float, float] | None = None

    def of(self, steps: int) -> "Contract":
        """That of weights which were distilled for one count."""
        if steps not in self.steps:
            raise InputError(f"distilled_steps: expected one of {', '.join(map(str, self.steps))}, got {steps}")
        return replace(self, default_steps=steps, steps={steps: self.steps[steps]})

    def table(self, steps: int | None = None) -> Schedule:
        N = self.default_steps if steps is None else steps
        if N not in self.steps:
            raise ContractError(f"steps: expected one of {', '.join(map(str, self.steps))}, got {steps!r}")
        return schedule(self.name, N, **self.steps[N])


def linear_sigmas(steps: int) -> Config:
    """What FLUX's, Z-Image's and Qwen-Image's pipelines pass: 1 to 1 / N."""
    return {"sigmas": [1 - i / steps for i in range(steps)]}


Networks = Mapping[str, nn.Module]
Measure = Callable[[Mapping[str, Network], tuple[int, int] | None], Size]


@dataclass(frozen=True)
class Published:
    """What a family's checkpoints are, as folders of diffusers.

    pipelines: classes in model_index.json. networks: the classes each network may have, by its folder. optional: those
    of them that a checkpoint may lack. measure: (networks, image (H, W) or None for their own) -> Size. options: what
    the pipeline hands to its scheduler's set_timesteps beside the number of steps. sampler: the scheduler's own, where
    the pipeline calls the network in other terms than that, by default the contract's. is_whole: whether checkpoints
    are published whole, with the family's scheduler; a LoRA or a denoiser is for a base model, whose files tell nothing
    of it. by_count: whether each step count of the contract has weights of its own.
    """

    pipelines: tuple[str, ...]
    networks: Mapping[str, tuple[str, ...]]
    measure: Measure
    optional: frozenset[str] = frozenset()
    options: Callable[[int], Config] = lambda steps: {}
    sampler: str | None = None
    is_whole: bool = True
    by_count: bool = False


@dataclass(frozen=True)
class Family:
    """prompt, denoiser, decoder and encoder make the modules of a Generation from the networks of a size.

    published: how its checkpoints are recognised and measured; None where none are read yet.
    """

    name: str
    tiny: Size
    full: Size
    contract: Contract
    prompt: Callable[[Networks, Size], nn.Module]
    denoiser: Callable[[Networks, Size], nn.Module]
    decoder: Callable[[Networks, Size], nn.Module]
    encoder: Callable[[Networks, Size], nn.Module]
    dtype: torch.dtype = field(default=torch.bfloat16)
    published: Published | None = None

    def size(self, name: SizeName) -> Size:
        return {"tiny": self.tiny, "full": self.full}[name]

"""A family of models as data: which networks it is made of, at which sizes, and the schedule it was distilled for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

import torch
from torch import nn

from fewstep.engine.backends.torch.generation import Input
from fewstep.engine.schedule import Schedule, schedule
from fewstep.errors import ContractError

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
        library = import_module(self.library)
        made = getattr(library, self.kind)
        if self.library == "diffusers":
            module: nn.Module = made(**self.config)
        else:
            module = made(made.config_class(**self.config))
        return module.eval().requires_grad_(False)


@dataclass(frozen=True)
class Size:
    """networks by role; the tensors a request brings; the state's shape (C, H, W) and the image's (H, W)."""

    networks: Mapping[str, Network]
    inputs: tuple[Input, ...]
    latent: tuple[int, int, int]
    image: tuple[int, int]


@dataclass(frozen=True)
class Contract:
    """steps: legal step count N -> options; schedule(name, N, **steps[N]) is what the model was distilled for."""

    name: str
    default_steps: int
    steps: Mapping[int, Config]

    def table(self, steps: int | None = None) -> Schedule:
        N = self.default_steps if steps is None else steps
        if N not in self.steps:
            raise ContractError(f"steps: expected one of {', '.join(map(str, self.steps))}, got {steps!r}")
        return schedule(self.name, N, **self.steps[N])


Networks = Mapping[str, nn.Module]


@dataclass(frozen=True)
class Family:
    """prompt, denoiser and decoder make the modules of a Generation from the networks of a size."""

    name: str
    tiny: Size
    full: Size
    contract: Contract
    prompt: Callable[[Networks, Size], nn.Module]
    denoiser: Callable[[Networks, Size], nn.Module]
    decoder: Callable[[Networks, Size], nn.Module]
    dtype: torch.dtype = field(default=torch.bfloat16)

    def size(self, name: SizeName) -> Size:
        return {"tiny": self.tiny, "full": self.full}[name]

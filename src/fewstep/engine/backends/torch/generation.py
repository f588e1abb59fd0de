"""What this backend runs: a few-step generation as three PyTorch modules, whoever made them."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.errors import ContractError, InputError


@dataclass(frozen=True)
class Input:
    """A tensor that a request brings: (B, *shape). Integers are in [low, high); high is None for floats.

    null: of classes, the last one, if it stands for none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    high: int | None = None
    low: int = 0
    null: int | None = None

    def random(self, B: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """Uniform integers below high, or normal numbers."""
        shape = (B, *self.shape)
        if self.high is None:
            return torch.randn(shape, generator=generator).to(device, self.dtype)
        return torch.randint(self.low, self.high, shape, generator=generator).to(device, self.dtype)


@dataclass(frozen=True)
class Generation:
    """x is float32 (B, *latent), B the number of images; the modules compute in `dtype`.

    prompt: (*inputs, in order) -> tuple of conditions, once a request.
    denoiser: (u, tau, *conditions) -> m, with u (B, *latent) in `dtype`, m in that or float32, and tau (B,) float32.
    decoder: x -> (B, 3, H, W), -1 black and 1 white.
    encoder: (B, 3, H, W) -> (x_0,), or its (mean, standard deviation), float32; None where there is none.
    """

    name: str
    prompt: nn.Module
    denoiser: nn.Module
    decoder: nn.Module
    inputs: tuple[Input, ...]
    latent: tuple[int, int, int]
    image: tuple[int, int]
    dtype: torch.dtype
    device: torch.device
    encoder: nn.Module | None = None

    def random_inputs(self, B: int, seed: int) -> dict[str, Tensor]:
        """Inputs of B images, for measurements and tests."""
        generator = torch.Generator().manual_seed(seed)
        return {spec.name: spec.random(B, generator, self.device) for spec in self.inputs}


def check_inputs(generation: Generation, inputs: Mapping[str, Tensor], B: int) -> tuple[Tensor, ...]:
    """The inputs in the order of the prompt module's arguments, or InputError."""
    if inputs.keys() != {spec.name for spec in generation.inputs}:
        wanted = ", ".join(spec.name for spec in generation.inputs)
        raise InputError(f"inputs of {generation.name}: expected {wanted}, got {', '.join(inputs) or 'none'}")
    return tuple(_checked(spec, inputs[spec.name], B) for spec in generation.inputs)


def _checked(spec: Input, x: Tensor, B: int) -> Tensor:
    if x.shape != (B, *spec.shape) or x.dtype != spec.dtype:
        got = f"{tuple(x.shape)} {x.dtype}"
        raise InputError(f"input {spec.name}: expected {(B, *spec.shape)} {spec.dtype}, got {got}")
    if spec.high is not None and x.numel() and not spec.low <= int(x.min()) <= int(x.max()) < spec.high:
        raise InputError(
            f"input {spec.name}: expected {spec.low} to {spec.high - 1}, got {int(x.min())} to {int(x.max())}"
        )
    return x


def check_table(schedule: Schedule | GuidedSchedule) -> Schedule:
    """The table, without its guidance, of networks of one time, or ContractError."""
    table = schedule.schedule if isinstance(schedule, GuidedSchedule) else schedule
    if table.two_times:
        raise ContractError(f"schedule {table.name} needs a network of two times; this backend runs networks of one")
    return table

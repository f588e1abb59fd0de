"""A generation with classifier-free guidance (arXiv:2207.12598): its network runs on every image twice, as one batch.

Inputs are those of the request and the same again, their names after NULL, of the output that guidance leads away from.
Conditions and m are (2B, ...): the null ones first. The update combines them, so that the state stays (B, ...).
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Generation
from fewstep.engine.bundle_manifest import NULL
from fewstep.engine.table import GuidedSchedule, Schedule


class Prompt(nn.Module):
    """(*given, *null) -> the conditions of both."""

    def __init__(self, prompt: nn.Module) -> None:
        super().__init__()
        self.prompt = prompt

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        half = len(inputs) // 2
        both = (torch.cat(pair) for pair in zip(inputs[half:], inputs[:half], strict=True))
        made: tuple[Tensor, ...] = self.prompt(*both)
        return made


class Denoiser(nn.Module):
    """(u, tau, *conditions), u (B, ...) and conditions (2B, ...) -> m_null and m_cond (2B, ...)."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, u: Tensor, tau: Tensor, *conditions: Tensor) -> Tensor:
        m: Tensor = self.denoiser(torch.cat([u, u]), torch.cat([tau, tau]), *conditions)
        return m


def guided(generation: Generation) -> Generation:
    """The generation whose m is both outputs."""
    again = tuple(replace(spec, name=f"{NULL}{spec.name}") for spec in generation.inputs)
    return replace(
        generation,
        prompt=Prompt(generation.prompt),
        denoiser=Denoiser(generation.denoiser),
        inputs=(*generation.inputs, *again),
    )


def of_schedule(generation: Generation, schedule: Schedule | GuidedSchedule) -> Generation:
    """What the schedule's outputs are of: the generation as it is, or guided."""
    return guided(generation) if isinstance(schedule, GuidedSchedule) else generation

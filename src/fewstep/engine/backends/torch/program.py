"""A request as a fixed sequence of operations over fixed buffers: what is captured, and what runs where nothing is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewstep.engine.backends.torch.cudnn import tuned_convolutions
from fewstep.engine.backends.torch.generation import Generation, check_inputs, check_table
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.errors import BackendError, ContractError, InputError
from fewstep.kernels.decode import to_uint8
from fewstep.kernels.initial_state import initial_state
from fewstep.kernels.sampler_step import COLUMNS, GUIDED_COLUMNS, sampler_step


@dataclass(frozen=True)
class Modules:
    """The three parts of a Generation, fused or as they are; what prompt returns is what denoiser takes."""

    prompt: Callable[..., tuple[Tensor, ...]]
    denoiser: Callable[..., Tensor]
    decoder: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Shape:
    """What is fixed in a program. history: whether steps may read the one before them (two-step solvers).

    guided: whether the generation is a guided one, and its schedules have guidance.
    """

    images: int
    steps: int
    history: bool
    guided: bool

    @classmethod
    def of(cls, images: int, schedule: Schedule | GuidedSchedule) -> "Shape":
        table = check_table(schedule)
        return cls(images, len(table), bool(table.e.any()), isinstance(schedule, GuidedSchedule))

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the table that sampler_step reads."""
        return GUIDED_COLUMNS if self.guided else COLUMNS


class Program:
    """Everything that changes from request to request is in buffers: load fills them, run reads them alone.

    1. run() makes no decision, moves nothing between host and device and allocates the same each time, so that it can
       be captured; and run twice it gives the same bytes.
    2. One schedule, seeds or inputs may follow another without a new program if the Shape stays the same.
    """

    def __init__(self, generation: Generation, modules: Modules, shape: Shape) -> None:
        self.generation, self.modules, self.shape = generation, modules, shape
        B, N, device = shape.images, shape.steps, generation.device
        self.seeds = torch.zeros(B, dtype=torch.int64, device=device)
        self._scalars = torch.zeros(_offsets(shape)[-1], device=device)  # one buffer, so that a request is one copy
        table, tau, scales, out_scale = self._scalars.tensor_split(_offsets(shape)[:-1])
        self.table, self.tau = table.view(N, len(shape.columns)), tau.view(N, B)
        self.scales, self.out_scale = scales, out_scale
        self.inputs = {
            spec.name: torch.zeros((B, *spec.shape), dtype=spec.dtype, device=device) + spec.low
            for spec in generation.inputs
        }
        self.images = torch.zeros((B, *generation.image, 3), dtype=torch.uint8, device=device)
        self.broken = torch.zeros(B, dtype=torch.int32, device=device)

    def load(self, seeds: Sequence[int], inputs: Mapping[str, Tensor], schedule: Schedule | GuidedSchedule) -> None:
        """Fill the buffers with the next request. Raises InputError or ContractError where it does not fit."""
        table, B = check_table(schedule), self.shape.images
        if len(seeds) != B:
            raise InputError(f"seeds: expected {B}, one an image of this program, got {len(seeds)}")
        if len(table) != self.shape.steps or (table.e.any() and not self.shape.history):
            wanted = f"{self.shape.steps} steps, {'with' if self.shape.history else 'without'} history"
            raise ContractError(f"schedule {table.name}: expected {wanted} as in this program, got {len(table)} steps")
        if isinstance(schedule, GuidedSchedule) != self.shape.guided:
            wanted = "with" if self.shape.guided else "without"
            raise ContractError(f"schedule {table.name}: expected it {wanted} guidance as in this program")
        for spec, x in zip(self.generation.inputs, check_inputs(self.generation, inputs, B), strict=True):
            self.inputs[spec.name].copy_(x)
        self.seeds.copy_(torch.from_numpy(np.array(seeds, np.uint64).view(np.int64)))
        self._scalars.copy_(torch.from_numpy(scalars(schedule, B)))

    @torch.inference_mode()
    def run(self) -> None:
        """Make the images of the buffers."""
        with tuned_convolutions():
            self._run()

    def _run(self) -> None:
        made, parts = self.generation, self.modules
        self.broken.zero_()
        conditions = parts.prompt(*(self.inputs[spec.name] for spec in made.inputs))
        x, u = initial_state(self.seeds, self.scales, made.latent, made.dtype)
        history = torch.zeros_like(x) if self.shape.history else None
        for i in range(self.shape.steps):
            outputs = parts.denoiser(u, self.tau[i], *conditions)
            m, *rest = outputs.chunk(2) if self.shape.guided else (outputs,)
            x, u, history = sampler_step(
                x, m, self.table, i, m2=rest[0] if rest else None, history=history, seeds=self.seeds, flag=self.broken
            )
        pixels = parts.decoder(x * self.out_scale)
        self.broken.add_(~pixels.isfinite().flatten(1).all(dim=1))
        self.images.copy_(to_uint8(pixels))

    def result(self) -> Tensor:
        """The images of the last run, uint8 (B, H, W, 3), the program's own buffer; BackendError for NaN or Inf."""
        broken = self.broken.nonzero().flatten().tolist()
        if broken:
            raise BackendError(
                f"{self.generation.name}: images {broken} became NaN or Inf; the weights are damaged or the network "
                f"overflows in {self.generation.dtype}"
            )
        return self.images


def scalars(schedule: Schedule | GuidedSchedule, B: int) -> NDArray[np.float32]:
    """The rows that sampler_step reads, tau (N, B), init, the first s_in and out_scale, one after the other.

    s of a row is the next row's s_in; in the last it is 1. With guidance b and q are of m_null, b2 and q2 of m_cond.
    """
    table = schedule if isinstance(schedule, Schedule) else schedule.schedule
    columns = {name: getattr(table, name) for name in COLUMNS if name != "s"}
    columns["s"] = np.append(table.s_in[1:], 1.0)
    if isinstance(schedule, GuidedSchedule):
        columns |= {"b": schedule.b_null, "q": schedule.q_null, "b2": schedule.b_cond, "q2": schedule.q_cond}
    rows = np.stack([columns[name] for name in (COLUMNS if isinstance(schedule, Schedule) else GUIDED_COLUMNS)], axis=1)
    ends = [table.init, table.s_in[0], table.out_scale]
    return np.concatenate([rows.ravel(), table.tau.repeat(B), ends]).astype(np.float32)


def _offsets(shape: Shape) -> list[int]:
    """Where tau, the scales and out_scale begin among the scalars, and how many there are."""
    tau = shape.steps * len(shape.columns)
    scales = tau + shape.steps * shape.images
    return [tau, scales, scales + 2, scales + 3]

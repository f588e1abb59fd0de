"""The yardstick: a request in eager PyTorch, the modules as they are, one operation after the other."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from fewstep.engine.backends.torch.generation import Generation, check_inputs, check_table
from fewstep.engine.backends.torch.guided import of_schedule
from fewstep.engine.noise import normal
from fewstep.engine.sampling import sample
from fewstep.engine.start import Start
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.errors import BackendError

Draw = Callable[[int], Tensor]


@torch.inference_mode()
def generate(
    generation: Generation,
    inputs: Mapping[str, Tensor],
    seeds: Sequence[int],
    schedule: Schedule | GuidedSchedule,
    draw: Draw | None = None,
) -> Tensor:
    """uint8 images (B, H, W, 3), one a seed. State and update are float32, the networks in their own dtype.

    inputs: of the generation, or with a GuidedSchedule of the guided one. draw(step): unit noise (B, *latent) float32
    on the device, step 0 the initial one; by default the engine's stream.
    """
    return to_bytes(pixels_of(generation, inputs, seeds, schedule, draw))


@torch.inference_mode()
def pixels_of(
    generation: Generation,
    inputs: Mapping[str, Tensor],
    seeds: Sequence[int],
    schedule: Schedule | GuidedSchedule,
    draw: Draw | None = None,
) -> Tensor:
    """As generate, what the decoder makes: (B, 3, H, W)."""
    check_table(schedule)
    made = of_schedule(generation, schedule)
    conditions = made.prompt(*check_inputs(made, inputs, len(seeds)))
    x = denoise(made, made.denoiser, conditions, schedule, draw or engine_noise(made, seeds))
    pixels: Tensor = made.decoder(x)
    return pixels


def denoise(
    generation: Generation,
    denoiser: Callable[..., Tensor],
    conditions: Sequence[Tensor],
    schedule: Schedule | GuidedSchedule,
    draw: Draw,
    start: Start | None = None,
) -> Tensor:
    """The schedule's loop: x float32 (B, *latent). denoiser: the generation's, or with a GuidedSchedule that of the
    guided one, as it is or fused.
    """

    def network(u: Tensor, tau: float) -> Tensor | tuple[Tensor, ...]:
        time = torch.full((len(u),), tau, dtype=torch.float32, device=u.device)
        m = denoiser(u.to(generation.dtype), time, *conditions).float()
        return m.chunk(2) if isinstance(schedule, GuidedSchedule) else m

    given = start or Start()
    latents, mask = (
        None if values is None else torch.from_numpy(values).to(generation.device)
        for values in (given.latents, given.mask)
    )
    return sample(schedule, network, draw(0), lambda i: draw(i + 1), latents=latents, mask=mask, first=given.first)


def engine_noise(generation: Generation, seeds: Sequence[int]) -> Draw:
    def draw(step: int) -> Tensor:
        return torch.from_numpy(normal(seeds, step, generation.latent)).to(generation.device)

    return draw


def check_finite(generation: Generation, pixels: Tensor) -> None:
    """Raises BackendError for NaN and Inf, which bytes would hide."""
    if not pixels.isfinite().all():
        raise BackendError(f"{generation.name}: a picture became NaN or Inf; the weights are damaged")


def to_bytes(pixels: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1], clamped, to uint8 (B, H, W, 3)."""
    levels = ((pixels.float() + 1) * 127.5).round().clamp(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()

"""What a request gives beside its seeds, as the backend takes it."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.bundle_manifest import Contract
from fewstep.engine.noise import Noise, stream
from fewstep.engine.request import Request
from fewstep.engine.slerp import interpolated
from fewstep.engine.start import Start
from fewstep.engine.strength import first_row
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.engine.torch_noise import ENCODED, torch_stream

Floats = NDArray[np.float32]


class Encoder(Protocol):
    """A backend as what encodes pictures."""

    @property
    def state(self) -> tuple[int, ...]: ...

    def encode(self, pixels: Floats) -> tuple[Floats, Floats | None]:
        """float32 (n, 3, H, W) in the model's range to x_0 (n, *state) and None; of an encoder that says where x_0 is
        likely to lie, the mean and the standard deviation. Raises ContractError of a model without an encoder.
        """


def start_of(
    request: Request,
    rows: Sequence[int],
    schedule: Schedule | GuidedSchedule,
    contract: Contract,
    backend: Encoder,
    rng: str,
) -> Start:
    """Of the request's images `rows`, all of one schedule.

    An encoder's distribution is drawn from with rng torch, as diffusers does; else its mean is taken.
    """
    table = schedule if isinstance(schedule, Schedule) else schedule.schedule
    edit = request.edit
    if edit is None:
        return Start(noise=_noise(request, rows, rng, table, backend.state))
    first, mask = first_row(table, edit.strength), edit.kept(len(rows), *backend.state[-2:])
    x_0, deviation = backend.encode(edit.pixels(contract.image, rows))
    encoded = deviation is not None
    masked = encoded and mask is not None
    noise = _noise(request, rows, rng, table, backend.state, first, encoded=encoded, masked=masked)
    if deviation is not None and noise is not None and rng == "torch":
        x_0 = x_0 + deviation * np.concatenate([one(ENCODED) for one in noise])
    x_0 = np.broadcast_to(x_0, (len(rows), *x_0.shape[1:]))  # of one picture for all
    return Start(noise, (x_0 / np.float32(table.out_scale)).astype(np.float32), mask, first)


def _noise(
    request: Request,
    rows: Sequence[int],
    rng: str,
    table: Schedule,
    state: Sequence[int],
    first: int = 0,
    *,
    encoded: bool = False,
    masked: bool = False,
) -> list[Noise] | None:
    """Of each image, None where it is its seed's own."""
    if rng == "fewstep" and not request.mix:
        return None

    def of(seed: int) -> Noise:
        if rng == "fewstep":
            return stream(seed, state)
        return torch_stream(seed, state, table, first=first, encoded=encoded, masked=masked)

    noise = [of(request.seeds[i]) for i in rows]
    if not request.mix:
        return noise
    return [interpolated(one, of(request.seeds_to[i]), request.mix[i]) for one, i in zip(noise, rows, strict=True)]

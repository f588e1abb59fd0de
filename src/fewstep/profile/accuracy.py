"""How far results are from the same computation in fp64."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fewstep.profile.case import Function, Inputs

DOUBTFUL = 0.1  # an error of this share of the rms is no rounding: do two runs agree with each other?


@dataclass(frozen=True)
class Error:
    """max and rms of the difference, over the rms of what is exact."""

    max: float
    rms: float


def truth(reference: Function, inputs: Inputs) -> list[Tensor] | None:
    """The reference's outputs in fp64; None where it draws random numbers, so that there is no one truth."""
    in_double = {name: _double(value) for name, value in inputs.items()}
    exact = outputs(reference(**in_double))
    if error(outputs(reference(**inputs)), exact).rms > DOUBTFUL:
        again = outputs(reference(**in_double))
        return None if error(again, exact).rms > DOUBTFUL else exact
    return exact


def error(found: Sequence[Tensor], exact: Sequence[Tensor]) -> Error:
    """Over all outputs together. Shapes must agree; what is not finite counts as infinitely wrong."""
    worst, squares, size, count = 0.0, 0.0, 0.0, 0
    for out, true in zip(found, exact, strict=True):
        if out.shape != true.shape:
            raise ValueError(f"expected shape {tuple(true.shape)}, got {tuple(out.shape)}")
        apart = (out.double() - true.double()).abs()
        worst = max(worst, float(apart.nan_to_num(torch.inf).max()))
        squares += float(apart.nan_to_num(torch.inf).square().sum())
        size += float(true.double().square().sum())
        count += true.numel()
    scale = (size / count) ** 0.5 or 1.0
    return Error(worst / scale, (squares / count) ** 0.5 / scale)


def outputs(result: Any) -> list[Tensor]:
    """The tensors of what a function returned: one, or several in a tuple, None among them left out."""
    found = result if isinstance(result, tuple | list) else (result,)
    return [value for value in found if isinstance(value, Tensor)]


def _double(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.double()
    if isinstance(value, tuple | list):
        return type(value)(_double(item) for item in value)
    return value

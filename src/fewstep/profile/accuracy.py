"""How far results are from the same computation in fp64, and whether that is as good as PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fewstep.profile.case import Function, Inputs

DOUBTFUL = 0.1  # an error of this share of the rms is no rounding: do two runs agree with each other?
MAX_TIMES, RMS_TIMES = 4, 2  # of eager PyTorch's own error in the same dtype, and one unit in the last place


@dataclass(frozen=True)
class Error:
    """max and rms of the difference, over the rms of what is exact."""

    max: float
    rms: float


@dataclass(frozen=True)
class Truth:
    """exact: the reference's outputs in fp64; eager: its error in its own dtype; ulp: of the largest output."""

    exact: Sequence[Tensor]
    eager: Error
    ulp: float

    def error(self, found: Sequence[Tensor]) -> Error:
        """Of the outputs that both have: a reference may return what a kernel is not asked for, at the end."""
        common = min(len(found), len(self.exact))
        return error(found[:common], self.exact[:common])

    def accepts(self, found: Error) -> bool:
        return found.max <= MAX_TIMES * self.eager.max + self.ulp and found.rms <= RMS_TIMES * self.eager.rms + self.ulp


def truth(reference: Function, inputs: Inputs) -> Truth | None:
    """None where the reference draws random numbers, so that there is no one truth."""
    in_double = {name: _double(value) for name, value in inputs.items()}
    exact, eager = outputs(reference(**in_double)), outputs(reference(**inputs))
    own = error(eager, exact)
    if own.rms > DOUBTFUL and error(outputs(reference(**in_double)), exact).rms > DOUBTFUL:
        return None
    ulps = [_ulp(out.dtype) * float(true.abs().max()) for out, true in zip(eager, exact, strict=True)]
    return Truth(exact, own, max(ulps) / _size(exact))


def error(found: Sequence[Tensor], exact: Sequence[Tensor]) -> Error:
    """Over all outputs together. Shapes must agree; what is not finite counts as infinitely wrong."""
    worst, squares = 0.0, 0.0
    for out, true in zip(found, exact, strict=True):
        if out.shape != true.shape:
            raise ValueError(f"expected shape {tuple(true.shape)}, got {tuple(out.shape)}")
        apart = (out.double() - true.double()).abs().nan_to_num(torch.inf, posinf=torch.inf)
        worst = max(worst, float(apart.max()))
        squares += float(apart.square().sum())
    size = _size(exact)
    return Error(worst / size, (squares / sum(true.numel() for true in exact)) ** 0.5 / size)


def outputs(result: Any) -> list[Tensor]:
    """The tensors of what a function returned: one, or several in a tuple, None among them left out."""
    found = result if isinstance(result, tuple | list) else (result,)
    return [value for value in found if isinstance(value, Tensor)]


def _size(exact: Sequence[Tensor]) -> float:
    squares = sum(float(true.double().square().sum()) for true in exact)
    return (squares / sum(true.numel() for true in exact)) ** 0.5 or 1.0


def _ulp(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps if dtype.is_floating_point else 0.0


def _double(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.double()
    if isinstance(value, tuple | list):
        return type(value)(_double(item) for item in value)
    return value

"""A generation whose parts are formulas, so that what the loop around them does can be written out."""

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Generation, Input

SEEDS = (1, 2**64 - 1)
SHAPE = (3, 5, 4)


class Shift(nn.Module):
    def forward(self, labels: Tensor) -> tuple[Tensor]:
        return (labels * 0.25,)


class Tanh(nn.Module):
    def forward(self, u: Tensor, tau: Tensor, shift: Tensor) -> Tensor:
        return torch.tanh(u * 0.5 + (shift + tau / 1000)[:, None, None, None]).to(u.dtype)


class Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 2


def small(dtype: torch.dtype = torch.float32) -> Generation:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    inputs = (Input("labels", (), torch.int64, 4),)
    return Generation("small", Shift(), Tanh(), Half(), inputs, SHAPE, SHAPE[1:], dtype, device)

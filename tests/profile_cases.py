"""A case that a CPU measures in no time, and what is said of the machine around it."""

from typing import Any

import torch
from torch import Tensor

from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch
from fewstep.profile.case import Case, Inputs, normal
from fewstep.profile.ceilings import Ceilings
from fewstep.profile.kernels import Setting

CEILINGS = Ceilings(copy=1e9, product={"float32": 1e10, "float16": 2e10})


def make(device: str, dtype: torch.dtype, seed: int) -> Inputs:
    return {"x": normal(device, dtype, seed, 4, 8)}


def double(x: Tensor) -> Tensor:
    return x + x


def broken(x: Tensor) -> Tensor:
    raise RuntimeError("no engine for this shape\nand a long trace")


def launches(x: Tensor, **_: Any) -> tuple[Tensor, list[Launch]]:
    return torch.empty_like(x), []


def cost(x: Tensor) -> Cost:
    return Cost(nbytes(x, x), x.numel())


def tiny_case(**changes: Any) -> Case:
    fields: dict[str, Any] = {
        "op": "double",
        "shape": "4x8",
        "families": ("sd-turbo 512", "flux-schnell"),
        "make": make,
        "fused": double,
        "reference": double,
        "launches": launches,
        "cost": cost,
        "libraries": {"times two": lambda x: 2 * x, "broken": broken},
        "dtypes": (torch.float32, torch.float16),
    }
    return Case(**{**fields, **changes})


def setting(**changes: Any) -> Setting:
    fields: dict[str, Any] = {"device": "cpu", "cache": 1024, "ceilings": CEILINGS, "rounds": 3}
    return Setting(**{**fields, **changes})

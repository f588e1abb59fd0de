"""Adds LoRAs to the weights of a model's networks, or gives what there is to add as pairs of factors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fewstep.engine.checks import real
from fewstep.errors import InputError
from fewstep.export.lora.fit import Networks, fitting_weights
from fewstep.export.lora.lora import Lora, Place, Target

Weighted = Sequence[tuple[Lora, float]]


@dataclass(frozen=True)
class Pair:
    """An update scale * up @ down of a weight flattened to (O, I). down: (r, I), up: (O, r), both float32."""

    down: Tensor
    up: Tensor
    scale: float


def pairs(loras: Weighted) -> dict[Place, tuple[Pair, ...]]:
    """What the LoRAs, each with its strength, add to each weight, in the order given; nothing is computed but float32.

    Raises InputError for a strength that is no finite number.
    """
    return {place: tuple(_pair(target, strength) for target, strength in given) for place, given in _by_place(loras)}


@torch.no_grad()
def fuse(networks: Networks, loras: Weighted) -> None:
    """W += the sum of strength * scale * up @ down, in the order given: in float32, cast once.

    One weight is worked on at a time. All is checked before the first is touched: raises InputError, and changes none,
    for a strength that is no finite number, a LoRA that does not fit, or a sum that its weight's dtype cannot hold.
    """
    weights: dict[Place, Tensor] = {}
    for lora, _ in loras:
        weights |= fitting_weights(lora, networks)
    updates = dict(_by_place(loras))
    for place, given in updates.items():
        if weights[place].is_meta:
            raise InputError(f"{'.'.join(place)}: expected a weight with values, got one of the meta device")
        if not _surely_finite(weights[place], given) and not _fused(weights[place], given).isfinite().all():
            names = ", ".join(lora.name for lora, _ in loras)
            raise InputError(
                f"{names}: {'.'.join(place)}: the sum has values that are no finite {weights[place].dtype}"
            )
    for place, given in updates.items():
        weights[place].copy_(_fused(weights[place], given))


Given = list[tuple[Target, float]]


def _by_place(loras: Weighted) -> Iterator[tuple[Place, Given]]:
    out: dict[Place, Given] = {}
    for lora, strength in loras:
        factor = real(f"{lora.name}: strength", strength)
        for place, target in lora.targets.items():
            out.setdefault(place, []).append((target, factor))
    yield from out.items()


def _pair(target: Target, strength: float, device: torch.device | None = None) -> Pair:
    down, up = (values.flatten(1).to(device, torch.float32) for values in (target.down, target.up))
    return Pair(down, up, strength * target.scale)


def _fused(weight: Tensor, given: Given) -> Tensor:
    """A copy of the weight with the updates added, in its dtype."""
    delta = torch.zeros(weight.flatten(1).shape, device=weight.device)
    for target, strength in given:
        pair = _pair(target, strength, weight.device)
        delta.addmm_(pair.up, pair.down, alpha=pair.scale)
    return delta.view_as(weight).add_(weight).to(weight.dtype)


def _surely_finite(weight: Tensor, given: Given) -> bool:
    """By a bound that needs no product."""
    bound = float(weight.abs().max())
    for target, strength in given:
        down, up = (float(values.abs().max()) for values in (target.down, target.up))
        bound += max(1, abs(strength * target.scale)) * len(target.down) * down * up
    return bound <= torch.finfo(weight.dtype).max

"""Whether a LoRA fits a model's networks: every one of its targets, or it is refused."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fewstep.errors import InputError
from fewstep.export.lora.keys import flatten
from fewstep.export.lora.lora import Lora, Place, Target
from fewstep.export.lora.module_names import fusible
from fewstep.export.lora.origin import origin

NAMED = 5  # of the targets that do not fit
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
Networks = Mapping[str, nn.Module]


def fitting_weights(lora: Lora, networks: Networks) -> dict[Place, Tensor]:
    """The weight of each target. Raises InputError naming targets that are not in the networks, or of other shapes."""
    weights = {(role, name): w for role, network in networks.items() for name, w in fusible(network).items()}
    if unknown := [place for place in lora.targets if place not in weights]:
        raise unfit(lora.name, [".".join(place) for place in unknown], len(lora.targets), widths(lora), networks)
    wrong = [
        f"{'.'.join(place)}: expected an update of shape {tuple(weights[place].shape)}, got {update_shape(target)}"
        for place, target in lora.targets.items()
        if not _fits(target, weights[place])
    ]
    if wrong:
        model, file = model_origin(networks), origin(widths(lora))
        hint = f"; the file seems to be a LoRA of {file}, the model is {model}" if model != file else ""
        more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise InputError(f"{lora.name}: {'; '.join(wrong[:NAMED])}{more}{hint}")
    for place in lora.targets:
        if weights[place].dtype not in DTYPES:
            got = weights[place].dtype
            raise InputError(
                f"{lora.name}: {'.'.join(place)}: expected a weight of float16, bfloat16 or float32, got {got}"
            )
    return {place: weights[place] for place in lora.targets}


def unfit(name: str, unknown: list[str], count: int, known: Mapping[str, int], networks: Networks) -> InputError:
    """unknown: modules that the networks have not, of `count`; known: widths by which the file's model is told."""
    return InputError(
        f"{name}: {len(unknown)} of {count} updates are of modules that the model has not: "
        f"{', '.join(unknown[:NAMED])}; its networks are {', '.join(sorted(networks))}; "
        f"the file seems to be a LoRA of {origin(known)}, the model is {model_origin(networks)}"
    )


def widths(lora: Lora) -> dict[str, int]:
    return {flatten(module): target.down.shape[1] for (_, module), target in lora.targets.items()}


def model_origin(networks: Networks) -> str:
    return origin({flatten(name): w.shape[1] for network in networks.values() for name, w in fusible(network).items()})


def update_shape(target: Target) -> tuple[int, ...]:
    """(O, I), or (O, I, kH, kW): what the product of the factors is an update of."""
    return (target.up.shape[0], *target.down.shape[1:])


def _fits(target: Target, weight: Tensor) -> bool:
    return _without_ones(update_shape(target)) == _without_ones(tuple(weight.shape))


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a 1x1 convolution, the linear layer that it is: files keep either."""
    return shape[:2] if all(n == 1 for n in shape[2:]) else shape

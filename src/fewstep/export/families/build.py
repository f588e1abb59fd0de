"""A family with random weights, for tests and measurements. Time and memory are those of a trained one."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Generation
from fewstep.engine.checks import choice
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.family import Family, Size
from fewstep.export.families.precision import keep_wide

SPREAD = 0.1  # of norms around 1 and of biases around 0: none is 0, or a lost one would go unseen


def build(
    name: str,
    size: str = "tiny",
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    seed: int = 0,
) -> Generation:
    """The family's generation. dtype: of the networks, by default the one the family is published for.

    On the device "meta" the modules have shapes alone. Raises InputError for an unknown name or size.
    """
    family = FAMILIES[choice("family", name, tuple(FAMILIES))]
    chosen = family.size("full" if choice("size", size, ("tiny", "full")) == "full" else "tiny")
    return of_size(family, chosen, device, dtype, seed)


def of_size(
    family: Family,
    size: Size,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    seed: int = 0,
) -> Generation:
    """The same of any size of the family, such as one that it measured."""
    kind, where = family.dtype if dtype is None else dtype, torch.device(device)
    networks = {}
    for i, (role, network) in enumerate(size.networks.items()):
        with where:
            module = network.make()
        if where.type != "meta":
            randomise(module, seed + i)
        networks[role] = module
    makers = (family.prompt, family.denoiser, family.decoder, family.encoder)
    prompt, denoiser, decoder, encoder = [make(networks, size).to(where, kind).eval() for make in makers]
    keep_wide(networks, size.networks, kind)
    numbers = () if size.guidance is None else (size.guidance.input,)
    inputs = tuple(
        spec if spec.high is not None or spec.name in numbers else replace(spec, dtype=kind) for spec in size.inputs
    )
    return Generation(family.name, prompt, denoiser, decoder, inputs, size.latent, size.image, kind, where, encoder)


@torch.no_grad()
def randomise(module: nn.Module, seed: int) -> None:
    """Fill every parameter: matrices keep the variance of what they multiply, norms lie near 1, biases near 0."""
    device = next(module.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            parameter.normal_(0, _fan_in(parameter) ** -0.5, generator=generator)
        else:
            parameter.normal_(float(name.endswith("weight")), SPREAD, generator=generator)


def _fan_in(weight: Tensor) -> int:
    return max(1, weight[0].numel())

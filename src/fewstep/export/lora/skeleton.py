"""Networks of nothing but names and shapes, by which a LoRA is read for a model whose code is not at hand."""

from collections.abc import Iterable, Mapping, Sequence

from torch import nn

ATTENTION = ("to_q", "to_k", "to_v", "to_out", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")


def networks_of(modules: Mapping[str, Sequence[int]]) -> dict[str, nn.Module]:
    """By role, on the meta device. modules: ROLE.NAME -> the shape of its weight, (O, I) or (O, I, kH, kW)."""
    networks: dict[str, nn.Module] = {}
    for place, (outputs, inputs, *kernel) in modules.items():
        role, _, name = place.partition(".")
        *parents, last = name.split(".")
        module = networks.setdefault(role, nn.Module())
        for parent in parents:
            if parent not in dict(module.named_children()):
                module.add_module(parent, nn.Module())
            module = module.get_submodule(parent)
        layer: nn.Module = nn.Linear(inputs, outputs, device="meta")
        if kernel:
            layer = nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]), device="meta")
        module.add_module(last, layer)
    return networks


def attention(modules: Iterable[str]) -> list[str]:
    """The projections of attention."""
    return [name for name in modules if name.removesuffix(".0").rpartition(".")[2] in ATTENTION]

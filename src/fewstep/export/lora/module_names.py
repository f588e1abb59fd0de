"""The modules of a network that a LoRA can be for, by every name that files give them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from fewstep.errors import InputError
from fewstep.export.lora.flux_names import SWAPPED, flux_names
from fewstep.export.lora.keys import flatten
from fewstep.export.lora.ldm_names import ldm_names
from fewstep.export.lora.z_image_names import z_image_names

OLD_TEXT = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


@dataclass(frozen=True)
class Part:
    """A module that an update is for. rows: those of `up` that are its, [start, stop), in its own order; () is all."""

    module: str
    rows: tuple[tuple[int, int], ...] = ()

    def size(self) -> int:
        return sum(stop - start for start, stop in self.rows)


def fusible(network: nn.Module) -> dict[str, Tensor]:
    """The weights that a LoRA can update, by their modules' names: of linear layers and ungrouped 2D convolutions."""
    return {
        name: module.weight
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    }


def module_names(network: nn.Module) -> Mapping[str, tuple[Part, ...]]:
    """Flattened name -> what an update of that name is for. Raises InputError where two modules have one name."""
    weights = fusible(network)
    out: dict[str, tuple[Part, ...]] = {}
    for name, parts in _names(weights):
        flat = flatten(name)
        if out.setdefault(flat, parts) != parts:
            raise InputError(f"{flat} is the flattened name of {out[flat][0].module} and of {parts[0].module}")
    return out


def _names(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, tuple[Part, ...]]]:
    for name in weights:
        whole = (Part(name),)
        for alias in (name, *_old_names(name)):
            yield alias, whole
            if name.startswith("encoder.layers."):  # CLIP's text encoder, whose outer module transformers 5 left out
                yield f"text_model.{alias}", whole
    if "conv_in" in weights:
        for name, alias in ldm_names(weights).items():
            yield alias, (Part(name),)
    if "noise_refiner.0.attention.to_q" in weights:
        yield from _originals(z_image_names(weights), weights)
    if "single_transformer_blocks.0.proj_mlp" in weights:
        yield from _originals(flux_names(weights), weights)
        for alias, name in SWAPPED.items():
            half, size = len(weights[name]) // 2, len(weights[name])
            yield alias, (Part(name, ((half, size), (0, half))),)


def _old_names(name: str) -> Iterator[str]:
    """What diffusers called the layers of attention before it used PEFT."""
    parent, _, layer = name.removesuffix(".0").rpartition(".")
    block = parent.rpartition(".")[2]
    if block.startswith("attn"):
        yield f"{parent}.processor.{layer}"
    elif block == "self_attn" and layer in OLD_TEXT:
        yield f"{parent}.{OLD_TEXT[layer]}"


def _originals(
    names: Iterable[tuple[str, tuple[str, ...]]], weights: Mapping[str, Tensor]
) -> Iterator[tuple[str, tuple[Part, ...]]]:
    for name, modules in names:
        yield name, tuple(_stacked(modules, weights)) if len(modules) > 1 else (Part(modules[0]),)


def _stacked(modules: Iterable[str], weights: Mapping[str, Tensor]) -> Iterator[Part]:
    start = 0
    for module in modules:
        stop = start + len(weights[module])
        yield Part(module, ((start, stop),))
        start = stop

"""Single files: all of a model, or its denoiser alone, in .safetensors with the names of its original code."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from fewstep.engine.checks import choice
from fewstep.errors import InputError
from fewstep.export.checkpoints.files import map_tensors, refuse_pickles
from fewstep.export.checkpoints.folder import read_configs
from fewstep.export.checkpoints.original import DENOISER, LAYOUTS, Converted, Part
from fewstep.export.checkpoints.published import Checkpoint
from fewstep.export.families.catalogue import FAMILIES

# What training left in a file: averages, and tables of its schedule.
UNREAD = re.compile(
    r"^(model_ema\.|denoiser\.sigmas$|logvar$|betas$|alphas_cumprod|sqrt_|log_one_minus_alphas_cumprod$|posterior_)"
)
TO_K = "transformer_blocks.0.attn2.to_k.weight"
NAMED = 5  # of the tensors that belong to nothing


@dataclass(frozen=True)
class Kind:
    """marks: names that only this has, those of the denoiser without their prefix, and the last size of each, None for
    any. without: a name that it has not. family: whose published networks are its.
    """

    name: str
    pipeline: str
    family: str
    marks: Mapping[str, int | None]
    without: str = ""


KINDS = (
    Kind(
        "Stable Diffusion XL",
        "StableDiffusionXLPipeline",
        "sdxl-turbo",
        {"conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias": None},
    ),
    Kind("Stable Diffusion 2", "StableDiffusionPipeline", "sd-turbo", {f"input_blocks.2.1.{TO_K}": 1024}),
    Kind(
        "Stable Diffusion 1",
        "StableDiffusionPipeline",
        "hyper-sd15",
        {"output_blocks.11.0.skip_connection.weight": None, f"input_blocks.2.1.{TO_K}": 768},
    ),
    Kind("a UNet of SDXL", "StableDiffusionXLPipeline", "sdxl-turbo", {f"input_blocks.4.1.{TO_K}": 2048}),
    *(
        Kind(f"a UNet of {name} in diffusers' names", pipeline, family, {f"down_blocks.1.attentions.0.{TO_K}": width})
        for name, pipeline, family, width in (
            ("SDXL", "StableDiffusionXLPipeline", "sdxl-turbo", 2048),
            ("Stable Diffusion 2", "StableDiffusionPipeline", "sd-turbo", 1024),
            ("Stable Diffusion 1", "StableDiffusionPipeline", "hyper-sd15", 768),
        )
    ),
    Kind(
        "Stable Diffusion 3.5 large",
        "StableDiffusion3Pipeline",
        "sd3.5-large-turbo",
        {"joint_blocks.37.x_block.mlp.fc1.weight": None},
    ),
    Kind(
        "FLUX.1-schnell",
        "FluxPipeline",
        "flux-schnell",
        {"double_blocks.0.img_attn.norm.key_norm.scale": None},
        without="guidance_in.in_layer.weight",
    ),
    Kind("Z-Image", "ZImagePipeline", "z-image-turbo", {"layers.0.adaLN_modulation.0.weight": None}),
)


def read_single_file(path: str | os.PathLike[str], config: str | os.PathLike[str] | None = None) -> Checkpoint:
    """Opens a .safetensors file without reading a weight.

    Which networks it has is told by the names in it, and their configurations are those of our families at full size,
    or of `config`, a folder of diffusers, which may be of another size. Such a file has neither schedule nor tokenizer;
    they come from `config` too. Raises InputError saying what was looked for.
    """
    file = Path(path)
    try:
        refuse_pickles(file, file.name)
        tensors = map_tensors(file, file.name)
        if config is None:
            kind = _recognised(file.name, tensors)
            networks = FAMILIES[kind.family].full.networks
            base = Checkpoint(file, kind.pipeline, networks, {}, None, {}, {})
        else:
            base = replace(read_configs(config), path=file)
            choice(f"{config}: pipeline", base.pipeline, LAYOUTS)
        parts = _parts(file.name, tensors, LAYOUTS[base.pipeline])
        for part in parts:
            if part.role not in base.networks:
                raise InputError(f"{file.name}: has weights of {part.role}, of which there is no configuration")
        found = {part.role: base.networks[part.role] for part in parts}
        weights = {part.role: Converted(file, part, found[part.role]) for part in parts}
        return replace(base, networks=MappingProxyType(found), weights=MappingProxyType(weights))
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _recognised(name: str, tensors: Mapping[str, Tensor]) -> Kind:
    shapes = {key.removeprefix(DENOISER): value.shape for key, value in tensors.items()}
    for kind in KINDS:
        if kind.without not in shapes and all(_has(shapes, mark, size) for mark, size in kind.marks.items()):
            return kind
    if any("lora" in key for key in tensors):
        raise InputError(f"{name}: it is a LoRA, which changes a checkpoint and is none; give the checkpoint too")
    looked_for = "; ".join(
        f"{kind.name}: {' and '.join(f'{k} (..., {n})' if n else k for k, n in kind.marks.items())}"
        + (f" without {kind.without}" if kind.without else "")
        for kind in KINDS
    )
    raise InputError(f"{name}: not a model that is known by the names of its weights, which are, for {looked_for}")


def _has(shapes: Mapping[str, tuple[int, ...]], mark: str, size: int | None) -> bool:
    return mark in shapes and (size is None or shapes[mark][-1:] == (size,))


def _parts(name: str, tensors: Mapping[str, Tensor], layout: tuple[Part, ...]) -> tuple[Part, ...]:
    """Those that the file has: all its weights are of one of them, or of the denoiser without any prefix."""
    found = tuple(part for part in layout if any(key.startswith(part.prefix) for key in tensors))
    if not found:
        return (replace(layout[0], prefix=""),)
    left = [
        key for key in tensors if not key.startswith(tuple(part.prefix for part in found)) and not UNREAD.match(key)
    ]
    if left:
        raise InputError(f"{name}: {len(left)} weights of no part of it: {', '.join(sorted(left)[:NAMED])}")
    roles = [part.role for part in found]
    if len(set(roles)) < len(roles):
        raise InputError(f"{name}: expected one of each part, got {', '.join(roles)}")
    return found

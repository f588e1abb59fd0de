"""What a single file is made of: the parts of each pipeline, by the prefix of their weights, and how they are renamed.

diffusers' own converters know the original names; what they leave out is counted, and refused.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fewstep.errors import InputError
from fewstep.export.checkpoints.files import map_tensors
from fewstep.export.checkpoints.loading import floats
from fewstep.export.checkpoints.weights import State
from fewstep.export.families.family import Network

DENOISER = "model.diffusion_model."
Convert = Callable[[State, str, Network], State]
# Of a text encoder's training, and of Z-Image's layers that are never run.
LEFT_OUT = re.compile(r"(^|\.)(logit_scale|attn_mask|norm_final\.weight)$")


@dataclass(frozen=True)
class Part:
    role: str
    prefix: str
    convert: Convert


@dataclass(frozen=True)
class Converted:
    """One part of a single file, or, with an empty prefix, all of it."""

    file: Path
    part: Part
    network: Network

    def read(self) -> State:
        where, prefix = f"{self.file.name}: {self.part.role}", self.part.prefix
        every = map_tensors(self.file, self.file.name)
        given = floats({name: value for name, value in every.items() if name.startswith(prefix)}, where)
        try:
            made = self.part.convert(dict(given), prefix, self.network)
        except (AttributeError, IndexError, KeyError, RuntimeError, ValueError) as error:
            reason = str(error).strip().split("\n")[0][:200]
            raise InputError(
                f"{where}: not the weights of a {self.network.kind} in their original names: {reason}"
            ) from error
        dropped = _converters().SD_2_TEXT_ENCODER_KEYS_TO_IGNORE
        known = sum(x.numel() for name, x in given.items() if not LEFT_OUT.search(name) and name not in dropped)
        found = sum(value.numel() for value in made.values())
        if found != known:
            raise InputError(
                f"{where}: expected {known} values after its weights got diffusers' names, got {found}; "
                f"some are of no {self.network.kind} that diffusers converts"
            )
        return made


def ldm_unet(state: State, prefix: str, network: Network) -> State:
    """The UNet of Stable Diffusion; a file of it alone may have diffusers' names already."""
    if not prefix and "conv_in.weight" in state:
        return state
    named = {f"{DENOISER}{name.removeprefix(prefix)}": value for name, value in state.items()}
    config = {key: network.setting(key) for key in ("layers_per_block", "class_embed_type", "addition_embed_type")}
    return _state(_converters().convert_ldm_unet_checkpoint(named, config))


def ldm_vae(state: State, prefix: str, network: Network) -> State:
    config = {key: network.setting(key) for key in ("down_block_types", "up_block_types")}
    return _state(_converters().convert_ldm_vae_checkpoint(bare(state, prefix, network), config))


def open_clip(state: State, prefix: str, network: Network) -> State:
    shaped = SimpleNamespace(config=SimpleNamespace(hidden_size=network.setting("hidden_size")))
    return _state(_converters().convert_open_clip_checkpoint(shaped, state, prefix=prefix))


def bare(state: State, prefix: str, network: Network) -> State:
    """The names of transformers, under a prefix."""
    return {name.removeprefix(prefix): value for name, value in state.items()}


def flux(state: State, prefix: str, network: Network) -> State:
    return _state(_converters().convert_flux_transformer_checkpoint_to_diffusers(bare(state, prefix, network)))


def sd3(state: State, prefix: str, network: Network) -> State:
    return _state(_converters().convert_sd3_transformer_checkpoint_to_diffusers(bare(state, prefix, network)))


def z_image(state: State, prefix: str, network: Network) -> State:
    return _state(_converters().convert_z_image_transformer_checkpoint_to_diffusers(bare(state, prefix, network)))


def _converters() -> Any:
    return import_module("diffusers.loaders.single_file_utils")


def _state(converted: Mapping[str, Any]) -> State:
    return dict(converted)


VAE = (Part("vae", "first_stage_model.", ldm_vae), Part("vae", "vae.", ldm_vae))
STABLE_DIFFUSION = (
    Part("unet", DENOISER, ldm_unet),
    VAE[0],
    Part("text_encoder", "cond_stage_model.transformer.", bare),
    Part("text_encoder", "cond_stage_model.model.", open_clip),
)
LAYOUTS: Mapping[str, tuple[Part, ...]] = {
    "StableDiffusionPipeline": STABLE_DIFFUSION,
    "LatentConsistencyModelPipeline": STABLE_DIFFUSION,
    "StableDiffusionXLPipeline": (
        Part("unet", DENOISER, ldm_unet),
        VAE[0],
        Part("text_encoder", "conditioner.embedders.0.transformer.", bare),
        Part("text_encoder_2", "conditioner.embedders.1.model.", open_clip),
    ),
    "StableDiffusion3Pipeline": (
        Part("transformer", DENOISER, sd3),
        *VAE,
        Part("text_encoder", "text_encoders.clip_l.transformer.", bare),
        Part("text_encoder_2", "text_encoders.clip_g.transformer.", bare),
        Part("text_encoder_3", "text_encoders.t5xxl.transformer.", bare),
    ),
    "FluxPipeline": (
        Part("transformer", DENOISER, flux),
        *VAE,
        Part("text_encoder", "text_encoders.clip_l.transformer.", bare),
        Part("text_encoder_2", "text_encoders.t5xxl.transformer.", bare),
    ),
    "ZImagePipeline": (Part("transformer", DENOISER, z_image), *VAE),
}

"""The classes that a checkpoint's networks may have, and what of its configurations they are given."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal

from fewstep.engine.checks import choice, refuse, short
from fewstep.engine.reading.fields import json_object
from fewstep.errors import InputError
from fewstep.export.families.family import Network

CLASSES: Mapping[Literal["diffusers", "transformers"], frozenset[str]] = {
    "diffusers": frozenset(
        {
            "AutoencoderDC",
            "AutoencoderKL",
            "AutoencoderKLQwenImage",
            "AutoencoderTiny",
            "DiTTransformer2DModel",
            "FluxTransformer2DModel",
            "PixArtTransformer2DModel",
            "QwenImageTransformer2DModel",
            "SD3Transformer2DModel",
            "SanaTransformer2DModel",
            "UNet2DConditionModel",
            "UNet2DModel",
            "ZImageTransformer2DModel",
        }
    ),
    "transformers": frozenset(
        {
            "CLIPTextModel",
            "CLIPTextModelWithProjection",
            "Gemma2Model",
            "Qwen2_5_VLForConditionalGeneration",
            "Qwen3Model",
            "T5EncoderModel",
        }
    ),
}
LEGACY = "Transformer2DModel"  # whose norm_type says which class took its place
SUCCESSORS = {"ada_norm_single": "PixArtTransformer2DModel", "ada_norm_zero": "DiTTransformer2DModel"}
CODE = ("auto_map", "trust_remote_code", "custom_pipelines")
QUANTISED = ("quantization_config", "compression_config")
OLD_SETTINGS = frozenset({"rope_theta", "rope_scaling", "tie_word_embeddings"})  # of transformers 4
COMPUTED = frozenset({"dense_act_fn", "is_gated_act", "scale_decoder_outputs"})  # by T5 of its other settings
MAX_SETTINGS = 512


def network(where: str, library: str, kind: str, config: Mapping[str, Any]) -> tuple[Network, tuple[str, ...]]:
    """The network of a config.json, and the keys of it that its class does not take.

    Raises InputError for a class that is not listed, another class in the configuration, code and quantised weights.
    """
    refuse_code(where, config)
    for key in QUANTISED:
        if config.get(key) is not None:
            raise refuse(f"{where}: {key}", "weights of 16 or 32 bits, which are not quantised", config[key])
    choice(f"{where}: library", library, CLASSES)
    chosen: Literal["diffusers", "transformers"] = "diffusers" if library == "diffusers" else "transformers"
    kind = choice(f"{where}: class", _successor(where, kind, config), CLASSES[chosen])
    declared = config.get("_class_name")
    if declared is not None and _successor(where, declared, config) != kind:
        raise refuse(f"{where}: _class_name", f"{kind}, as model_index.json says", declared)
    made_by = getattr(import_module(chosen), kind)
    if chosen == "transformers":
        said = config.get("model_type", made_by.config_class.model_type)
        if said != made_by.config_class.model_type:
            raise refuse(f"{where}: model_type", f"{made_by.config_class.model_type}, as {kind} has", said)
        settings, ignored = _settings(where, config, made_by.config_class)
    else:
        public = {key: value for key, value in config.items() if not key.startswith("_")}
        settings = {key: value for key, value in public.items() if key in _parameters(made_by.__init__)}
        ignored = sorted(public.keys() - settings.keys())
    return Network(chosen, kind, settings), tuple(ignored)


def refuse_code(where: str, config: Mapping[str, Any]) -> None:
    """Raises InputError for a configuration that asks to run the checkpoint's own program, at any depth."""
    for key in CODE:
        if config.get(key):
            raise InputError(
                f"{where}: {key} names code of the checkpoint, {short(config[key])}; fewstep runs none: "
                "take a checkpoint whose classes are those of diffusers and transformers"
            )
    for value in config.values():
        if isinstance(value, dict):
            refuse_code(where, value)


def _successor(where: str, kind: object, config: Mapping[str, Any]) -> object:
    if kind != LEGACY:
        return kind
    return SUCCESSORS[choice(f"{where}: norm_type", config.get("norm_type"), SUCCESSORS)]


def _settings(where: str, config: Mapping[str, Any], config_class: Any) -> tuple[dict[str, Any], list[str]]:
    """Only what the class of the configuration declares: every other key would become an attribute of it, and some
    choose code that transformers runs.
    """
    if len(config) > MAX_SETTINGS:
        raise refuse(where, f"at most {MAX_SETTINGS} settings", len(config))
    base = _parameters(import_module("transformers").PretrainedConfig)
    parts: Mapping[str, Any] = config_class.sub_configs
    taken = _parameters(config_class) - base | OLD_SETTINGS
    for part in parts.values():  # older files have the settings of the language model beside those of the whole
        taken |= _parameters(part) - base
    made: dict[str, Any] = {}
    ignored: list[str] = []
    for key, value in config.items():
        if key in parts:
            made[key], inner = _settings(f"{where}: {key}", json_object(f"{where}: {key}", value), parts[key])
            ignored += [f"{key}.{name}" for name in inner]
        elif key in taken:
            made[key] = value
        elif key not in base | COMPUTED | {"model_type", "torch_dtype"} and not key.startswith("_"):
            ignored.append(key)
    return made, sorted(ignored)


def _parameters(function: Any) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters) - {"self", "kwargs"}

"""A folder of diffusers: model_index.json and its components, each in a folder of its own."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fewstep.engine.checks import file_name, refuse, short, text
from fewstep.errors import InputError
from fewstep.export.checkpoints.classes import CLASSES, network, refuse_code
from fewstep.export.checkpoints.files import check_folder, exists, read_json, refuse_pickles
from fewstep.export.checkpoints.published import Checkpoint
from fewstep.export.checkpoints.weights import FALLS_BACK, Weights, find, has_variant
from fewstep.export.families.family import Network

INDEX = "model_index.json"
CONFIG = "config.json"
SCHEDULER = "scheduler"
TOKENIZER = "tokenizer"
UNREAD = ("feature_extractor", "image_encoder", "image_processor", "processor", "safety_checker")
UNREAD_LIBRARIES = (*CLASSES, "stable_diffusion")
MAX_COMPONENTS = 64


def read_folder(path: str | os.PathLike[str], variant: str | None = None) -> Checkpoint:
    """Opens a folder of diffusers without reading a weight.

    variant: of the weights' files, such as "fp16"; the autoencoder's plain file is taken where it has none. Raises
    InputError naming the file, what was expected there and what was got.
    """
    return _opened(Path(path), variant, weights=True)


def read_configs(path: str | os.PathLike[str]) -> Checkpoint:
    """A folder of diffusers without its weights, which need not be there."""
    return _opened(Path(path), None, weights=False)


def _opened(path: Path, variant: str | None, weights: bool) -> Checkpoint:
    try:
        if variant is not None:
            file_name("variant", variant)
        check_folder(path, "folder")
        if not exists(path / INDEX):
            refuse_pickles(path, path.name)
            raise InputError(f"{INDEX} is missing; expected a folder that diffusers' save_pretrained wrote")
        return _read(path, read_json(path / INDEX, INDEX), variant, weights)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read(path: Path, index: Mapping[str, Any], variant: str | None, weighed: bool) -> Checkpoint:
    refuse_code(INDEX, index)
    if isinstance(index.get("_class_name"), list):
        raise InputError(f"{INDEX}: _class_name names code of the checkpoint; fewstep runs none")
    pipeline = text(f"{INDEX}: _class_name", index.get("_class_name"), 128)
    components = {file_name(INDEX, key): value for key, value in index.items() if _is_component(value)}
    if len(components) > MAX_COMPONENTS:
        raise refuse(INDEX, f"at most {MAX_COMPONENTS} components", len(components))
    networks: dict[str, Network] = {}
    weights: dict[str, Weights] = {}
    tokenizers: dict[str, Path] = {}
    scheduler: Mapping[str, Any] | None = None
    notes: list[str] = []
    for role, (library, kind) in components.items():
        if library is None and kind is None:
            continue
        allowed = UNREAD_LIBRARIES if role in UNREAD else tuple(CLASSES)
        if library not in allowed or not isinstance(kind, str):
            raise InputError(
                f"{INDEX}: {role}: expected a class of {' or '.join(CLASSES)}, got {library}.{kind}; "
                "fewstep runs no code of a checkpoint"
            )
        if role in UNREAD:
            notes.append(f"{role}: {kind} is not read")
            continue
        check_folder(path / role, role)
        if role == SCHEDULER:
            scheduler, more = _scheduler(path, kind)
            notes += more
        elif role.startswith(TOKENIZER):
            tokenizers[role] = _tokenizer(path / role, role)
        else:
            networks[role], more = _network(path / role, role, library, kind)
            notes += more
            if weighed:
                weights[role], more = _weights(path / role, role, networks[role], variant)
                notes += more
    others = {key: value for key, value in index.items() if key not in components and not key.startswith("_")}
    return Checkpoint(
        path,
        pipeline,
        MappingProxyType(networks),
        MappingProxyType(weights),
        scheduler,
        MappingProxyType(tokenizers),
        MappingProxyType(others),
        tuple(notes),
    )


def _is_component(value: object) -> bool:
    """["library", "class"], or [null, null] where there is none."""
    return isinstance(value, list) and len(value) == 2 and all(v is None or isinstance(v, str) for v in value)


def _network(folder: Path, role: str, library: str, kind: str) -> tuple[Network, list[str]]:
    where = f"{role}/{CONFIG}"
    made, ignored = network(where, library, kind, read_json(folder / CONFIG, where))
    return made, [f"{where}: {', '.join(ignored)} ignored, which {made.kind} does not take"] if ignored else []


def _weights(folder: Path, role: str, made: Network, variant: str | None) -> tuple[Weights, list[str]]:
    if variant is None or role != FALLS_BACK or has_variant(folder, made.library, variant):
        return find(folder, role, made.library, variant), []
    return find(folder, role, made.library, None), [f"{role}: has no variant {variant}, its plain weights are taken"]


def _scheduler(path: Path, kind: str) -> tuple[Mapping[str, Any], list[str]]:
    """Its configuration under the class that model_index.json says, as diffusers takes it."""
    where = f"{SCHEDULER}/scheduler_config.json"
    config = read_json(path / where, where)
    refuse_code(where, config)
    said = config.get("_class_name", kind)
    notes = [] if said == kind else [f"{where}: _class_name {short(said)} passed over for {kind}, which {INDEX} says"]
    return MappingProxyType({**config, "_class_name": kind}), notes


def _tokenizer(folder: Path, role: str) -> Path:
    name = "tokenizer_config.json"
    if exists(folder / name):
        refuse_code(f"{role}/{name}", read_json(folder / name, f"{role}/{name}"))
    return folder

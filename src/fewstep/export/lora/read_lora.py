"""Reads a LoRA file for a model: every update finds its module, or the file is refused."""

import os
from collections.abc import Mapping

import torch

from fewstep.errors import InputError
from fewstep.export.lora.fit import Networks, fitting_weights, unfit
from fewstep.export.lora.lora import Lora, Place, Target
from fewstep.export.lora.lora_file import LoraFile, Update, read_lora_file
from fewstep.export.lora.module_names import Part, module_names


def read_lora(path: str | os.PathLike[str], networks: Networks) -> Lora:
    """networks: by role, such as "unet", "transformer", "text_encoder"; on any device, "meta" too.

    Raises InputError naming the file and the keys that are wrong, or what of it no network has a module for.
    """
    return resolve(read_lora_file(path), networks)


def resolve(file: LoraFile, networks: Networks) -> Lora:
    """The updates of the file by the modules that they are for, which does not depend on the order of its keys."""
    names = {role: module_names(network) for role, network in networks.items()}
    found = [(update, *_find(update, names)) for update in file.updates]
    if unknown := [update.key for update, _, parts in found if not parts]:
        known = {update.module: update.down.shape[1] for update in file.updates}
        raise unfit(file.name, unknown, len(file.updates), known, networks)
    targets: dict[Place, Target] = {}
    keys: dict[Place, str] = {}
    for update, role, parts in found:
        rows = sum(part.size() for part in parts)
        if rows and len(update.up) != rows:
            modules = ", ".join(part.module for part in parts)
            raise InputError(f"{file.name}: {update.key}: expected {rows} rows, of {modules}, got {len(update.up)}")
        for part in parts:
            place = (role, part.module)
            if place in targets:
                raise InputError(f"{file.name}: {keys[place]} and {update.key} are both of {role}.{part.module}")
            targets[place], keys[place] = _target(update, part), update.key
    lora = Lora(file.name, targets)
    fitting_weights(lora, networks)
    return lora


Names = Mapping[str, Mapping[str, tuple[Part, ...]]]


def _find(update: Update, names: Names) -> tuple[str, tuple[Part, ...]]:
    """The role and the parts, none if no network has the module."""
    role = next((role for role in update.roles if role in names), "")
    return role, names.get(role, {}).get(update.module, ())


def _target(update: Update, part: Part) -> Target:
    up = torch.cat([update.up[start:stop] for start, stop in part.rows]) if part.rows else update.up
    return Target(update.down, up, update.alpha / len(update.down))

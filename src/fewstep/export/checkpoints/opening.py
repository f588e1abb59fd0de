"""Opens whatever a checkpoint is given as."""

import os
from pathlib import Path

from fewstep.errors import InputError, UnknownModelError
from fewstep.export.checkpoints.files import exists
from fewstep.export.checkpoints.folder import read_folder
from fewstep.export.checkpoints.hub import fetch, is_repository
from fewstep.export.checkpoints.published import Checkpoint
from fewstep.export.checkpoints.single_file import read_single_file


def open_checkpoint(
    path: str | os.PathLike[str],
    *,
    variant: str | None = None,
    config: str | os.PathLike[str] | None = None,
    offline: bool = False,
) -> Checkpoint:
    """A folder of diffusers, a single file, or an owner/name of huggingface.co, in this order.

    variant: of a folder's weights, such as "fp16". config: the folder of diffusers whose configurations a single file
    has. offline: take an owner/name from the cache alone. No weight is read. Raises InputError, or UnknownModelError
    where there is none of them.
    """
    given = Path(path)
    if exists(given) and not given.is_dir():
        if variant is not None:
            raise InputError(f"{given}: variant {variant!r} is of a folder's weights; a single file has none")
        return read_single_file(given, config)
    if config is not None:
        raise InputError(f"{given}: config is for a single file, and this is none")
    if exists(given):
        return read_folder(given, variant)
    if is_repository(name := os.fspath(path)):
        return read_folder(fetch(name, variant, offline), variant)
    raise UnknownModelError(f"{given}: expected a folder of diffusers, a .safetensors file or an owner/name of the Hub")

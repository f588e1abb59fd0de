"""Checkpoints of huggingface.co, by way of huggingface_hub and its cache."""

import re
from pathlib import Path

from fewstep.engine.checks import file_name, refuse
from fewstep.errors import InputError, MissingDependencyError, UnknownModelError
from fewstep.export.checkpoint import PICKLES
from fewstep.export.checkpoints.folder import UNREAD
from fewstep.export.checkpoints.weights import FALLS_BACK, STEMS, file_names

REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
FILES = PICKLES | {".safetensors"}
CONFIGS = ("*.json", "*.txt", "*.model")  # vocabularies and merges, and sentencepiece models


def is_repository(name: str) -> bool:
    """Whether it is an owner/name, and not the path of a file that is missing."""
    return REPOSITORY.fullmatch(name) is not None and Path(name).suffix not in FILES


def fetch(name: str, variant: str | None = None, offline: bool = False) -> Path:
    """The folder, in huggingface_hub's cache, of a repository's configurations, tokenizers and weights of a variant.

    No code, no pickle and no weights of other variants are fetched. offline, or HF_HUB_OFFLINE: only what the cache
    has. Raises UnknownModelError where there is no such repository, InputError where it cannot be fetched.
    """
    try:
        import huggingface_hub
        from huggingface_hub import constants, errors
    except ImportError as error:
        raise MissingDependencyError(
            f"{name}: needs huggingface_hub; pip install 'fewstep[export]', or give a folder"
        ) from error
    if not is_repository(name):
        raise refuse("repository", "owner/name", name)
    try:
        path = huggingface_hub.snapshot_download(
            name,
            local_files_only=offline or constants.HF_HUB_OFFLINE,
            allow_patterns=patterns(variant),
            ignore_patterns=[f"{role}/*" for role in UNREAD],
        )
    except errors.GatedRepoError as error:
        raise InputError(
            f"{name}: its authors want their terms accepted first; do that on huggingface.co/{name}, "
            "then log in with `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UnknownModelError(
            f"{name}: huggingface.co has no such repository, or it is private; check the name, or `hf auth login`"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        if offline or constants.HF_HUB_OFFLINE:
            raise UnknownModelError(
                f"{name}: it is not whole in the cache, and nothing is fetched offline; fetch it once without offline "
                "and without HF_HUB_OFFLINE"
            ) from error
        raise InputError(f"{name}: the Hub cannot be reached and the cache has it not: {_line(error)}") from error
    except Exception as error:  # whatever a network does; huggingface_hub's own transport has changed its exceptions
        raise InputError(f"{name}: cannot be fetched: {_line(error)}") from error
    return Path(path)


def patterns(variant: str | None) -> list[str]:
    """Of the files that are fetched: weights lie in a component's folder."""
    out = list(CONFIGS)
    for stem in STEMS.values():
        whole, _ = file_names(stem, None if variant is None else file_name("variant", variant))
        out += [f"*/{whole}", f"*/{whole.removesuffix('.safetensors')}-*.safetensors"]
    if variant is not None:
        out.append(f"{FALLS_BACK}/{STEMS['diffusers']}.safetensors")
    return out


def _line(error: Exception) -> str:
    return (str(error).strip().split("\n")[0] or type(error).__name__)[:300]

"""The files of a component's weights: one, or shards and their index, of the variant that was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from torch import Tensor

from fewstep.engine.checks import file_name, refuse
from fewstep.engine.reading.fields import json_object
from fewstep.errors import InputError
from fewstep.export.checkpoints.files import exists, map_tensors, read_json, refuse_pickles

STEMS = {"diffusers": "diffusion_pytorch_model", "transformers": "model"}
FALLS_BACK = "vae"  # which is often published in one precision alone
VARIANTS = ("fp16", "bf16")  # that are looked for where the plain file is missing, to name them
MAX_SHARDS = 512
State = dict[str, Tensor]


class Weights(Protocol):
    """Where the weights of one network are."""

    def read(self) -> State:
        """Its tensors by their names, in the files' own pages. Raises InputError for files that are damaged."""


@dataclass(frozen=True)
class Files:
    """A component's folder. places: the tensors of each file, as an index says; None of a file that has no index."""

    folder: Path
    role: str
    places: Mapping[str, frozenset[str] | None]

    def read(self) -> State:
        out: State = {}
        for file, names in self.places.items():
            where = f"{self.role}/{file}"
            found = map_tensors(self.folder / file, where)
            if names is not None and names != found.keys():
                missing, more = sorted(names - found.keys()), sorted(found.keys() - names)
                raise InputError(
                    f"{where}: expected the tensors that the index places there, got {len(missing)} less and "
                    f"{len(more)} more, such as {(missing + more)[0]}; fetch index and shards of one version"
                )
            out |= found
        return out


def find(folder: Path, role: str, library: Literal["diffusers", "transformers"], variant: str | None) -> Files:
    """The weights in a component's folder, every file of which is there and has a legal header.

    Raises InputError naming the file that was looked for.
    """
    names = file_names(STEMS[library], variant)
    found = [name for name in names if exists(folder / name)]
    if not found:
        refuse_pickles(folder, role)
        raise InputError(f"{role}: expected {' or '.join(names)}, got neither{_others(folder, STEMS[library])}")
    if len(found) > 1:
        raise InputError(f"{role}: expected {names[0]} or {names[1]}, got both; remove the one that is not meant")
    (name,) = found
    files = Files(folder, role, {name: None} if name.endswith(".safetensors") else _places(folder / name, role, name))
    files.read()
    return files


def file_names(stem: str, variant: str | None) -> tuple[str, str]:
    """Of the weights in one file, and of the index of their shards."""
    dot = "" if variant is None else f".{variant}"
    return f"{stem}{dot}.safetensors", f"{stem}.safetensors.index{dot}.json"


def has_variant(folder: Path, library: Literal["diffusers", "transformers"], variant: str | None) -> bool:
    return any(exists(folder / name) for name in file_names(STEMS[library], variant))


def _places(path: Path, role: str, name: str) -> Mapping[str, frozenset[str]]:
    """File -> its tensors, of an index whose files all lie beside it."""
    where = f"{role}/{name}"
    index = read_json(path, where)
    if "weight_map" not in index:
        raise InputError(f"{where}: weight_map is missing")
    out: dict[str, set[str]] = {}
    for tensor, file in json_object(f"{where}: weight_map", index["weight_map"]).items():
        shard = file_name(f"{where}: {tensor[:200]!r}", file)
        if not shard.endswith(".safetensors"):
            raise refuse(f"{where}: {tensor[:200]!r}", "a .safetensors file", shard)
        out.setdefault(shard, set()).add(tensor)
    if not 0 < len(out) <= MAX_SHARDS:
        raise refuse(where, f"1 to {MAX_SHARDS} files", len(out))
    for shard in sorted(out):
        if not exists(path.parent / shard):
            raise InputError(f"{role}/{shard} is missing, which {name} names; fetch the checkpoint again")
    return {shard: frozenset(out[shard]) for shard in sorted(out)}


def _others(folder: Path, stem: str) -> str:
    """A hint at the variants that are there."""
    there = [v for v in (None, *VARIANTS) if any(exists(folder / name) for name in file_names(stem, v))]
    return f"; there is variant={there[0]!r}" if there else ""

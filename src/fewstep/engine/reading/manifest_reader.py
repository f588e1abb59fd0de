"""Reads bundle.json and checks it against itself."""

import re
from dataclasses import replace
from types import MappingProxyType

from fewstep.engine.bundle_manifest import (
    DECODER,
    DENOISER,
    ENCODE_PROMPT,
    ENCODER,
    Component,
    FileEntry,
    Manifest,
    StateSpec,
)
from fewstep.engine.checks import choice, distinct, file_name, identifier, refuse, sequence, text, whole
from fewstep.engine.reading import strict_json
from fewstep.engine.reading.contract_reader import MAX_SIDE, bounded, take_contract
from fewstep.engine.reading.fields import Fields
from fewstep.engine.reading.interface import check_interface
from fewstep.engine.reading.stages_reader import take_stages
from fewstep.engine.reading.tensors_reader import take_tensors
from fewstep.errors import InputError

FORMAT = "fewstep-bundle"
STAGED = 2  # the first version whose components have stages
LATENT = 3  # the first version with texts and with components beside the denoiser
RANGED = 4  # the first version whose schedule may have a range of guidance
EDITING = 5  # the first version with an encoder of pictures
VERSIONS = (1, STAGED, LATENT, RANGED, EDITING)
FILE = "bundle.json"
MAX_MANIFEST = 1 << 20
MAX_FILES = 256
MAX_FILE_SIZE = 1 << 36
MAX_TENSORS = 16
DTYPES = ("float32", "int64")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def parse_manifest(data: bytes) -> Manifest:
    """What the bytes of a bundle.json say. Raises InputError naming the field, what was expected and what was got."""
    fields = Fields(FILE, strict_json.loads(data, FILE, MAX_MANIFEST))
    fields.take("format", choice, (FORMAT,))
    version = fields.take("version", _any)
    if type(version) is not int or version not in VERSIONS:
        known = ", ".join(map(str, VERSIONS))
        raise refuse(f"{FILE}: version", f"{known}, which this fewstep reads (a newer fewstep may read more)", version)
    if (version >= LATENT) != ("texts" in fields.keys()):  # noqa: SIM118  Fields is no mapping
        raise refuse(f"{FILE}: texts", f"to be there from version {LATENT} on", f"version {version}")
    contract = take_contract(fields)
    if contract.schedule.guidance_range is not None and version < RANGED:
        raise refuse(f"{FILE}: schedule.guidance_range", f"to be there from version {RANGED} on", f"version {version}")
    manifest = Manifest(
        **vars(contract),
        family=fields.take("family", identifier),
        state=fields.take("state", _state),
        components=fields.take("components", _components, version),
        files=fields.take("files", _files),
    )
    fields.done()
    _check_files(manifest)
    check_interface(manifest, FILE)
    return manifest


def _any(where: str, value: object) -> object:
    return value


def _state(where: str, value: object) -> StateSpec:
    fields = Fields(where, value)
    shape = tuple(whole(f"{where}.shape", n, 1, MAX_SIDE) for n in fields.take("shape", sequence, 1, 8))
    fields.done()
    return StateSpec(bounded(f"{where}.shape", shape))


def _components(where: str, value: object, version: int) -> MappingProxyType[str, Component]:
    fields = Fields(where, value)
    names = [DENOISER] if version < LATENT else [ENCODE_PROMPT, DENOISER, DECODER]
    if version >= EDITING:
        names.append(ENCODER)
    out = {
        name: fields.take(name, _component, version)
        for name in names
        if name == DENOISER or name in fields.keys()  # noqa: SIM118
    }
    fields.done()
    stages = [stage.graph for component in out.values() for stage in component.stages.values()]
    distinct(where, [component.graph for component in out.values()] + stages)
    for name in out.keys() - {DENOISER}:
        if out[name].stages:
            raise refuse(f"{where}.{name}.stages", "none, as it runs once", list(out[name].stages))
    return MappingProxyType(out)


def _component(where: str, value: object, version: int) -> Component:
    fields = Fields(where, value)
    graph = fields.take("graph", file_name)
    weights = tuple(file_name(f"{where}.weights", v) for v in fields.take("weights", sequence, 0, MAX_FILES))
    distinct(f"{where}.weights", (graph, *weights))
    inputs, outputs = (fields.take(key, take_tensors, DTYPES, MAX_TENSORS) for key in ("inputs", "outputs"))
    distinct(f"{where}.inputs", [tensor.name for tensor in inputs + outputs])
    component = Component(graph, weights, inputs, outputs)
    if version >= STAGED:
        component = replace(component, stages=fields.take("stages", take_stages, component))
    fields.done()
    return component


def _files(where: str, value: object) -> MappingProxyType[str, FileEntry]:
    fields = Fields(where, value)
    if len(fields.keys()) > MAX_FILES:
        raise refuse(where, f"at most {MAX_FILES} files", len(fields.keys()))
    out = {file_name(where, key): fields.take(key, _file_entry) for key in fields.keys()}  # noqa: SIM118
    if FILE in out:
        raise refuse(where, "the other files of the bundle", FILE)
    total = sum(entry.size for entry in out.values())
    if total > MAX_FILE_SIZE:
        raise refuse(where, f"at most {MAX_FILE_SIZE} bytes in all", total)
    return MappingProxyType(out)


def _file_entry(where: str, value: object) -> FileEntry:
    fields = Fields(where, value)
    sha256 = fields.take("sha256", text, 64)
    if not _SHA256.fullmatch(sha256):
        raise refuse(f"{where}.sha256", "64 lower-case hexadecimal digits", sha256)
    out = FileEntry(sha256, fields.take("size", whole, 0, MAX_FILE_SIZE))
    fields.done()
    return out


def _check_files(manifest: Manifest) -> None:
    named = {
        f"components.{key}": (c.graph, *c.weights, *(s.graph for s in c.stages.values()))
        for key, c in manifest.components.items()
    }
    named["texts"] = tuple(spec.tokenizer for spec in manifest.texts)
    for where, names in {"license": (manifest.license.file,), **named}.items():
        for name in names:
            if name not in manifest.files:
                raise InputError(f"{FILE}: {where}: file {name} is not listed in files")

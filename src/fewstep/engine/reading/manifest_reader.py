"""Reads bundle.json and checks it against itself."""

import re
from types import MappingProxyType
from typing import Any

from fewstep.engine.bundle_manifest import Component, FileEntry, Manifest, StateSpec, TensorSpec
from fewstep.engine.reading import strict_json
from fewstep.engine.reading.contract_reader import MAX_SIDE, bounded, take_contract
from fewstep.engine.reading.fields import Fields, distinct, file_name, identifier, one_of, refuse, sequence, text, whole
from fewstep.errors import InputError

FORMAT = "fewstep-bundle"
VERSION = 1
FILE = "bundle.json"
MAX_MANIFEST = 1 << 20
MAX_FILES = 256
MAX_FILE_SIZE = 1 << 36
BATCH = "B"
DENOISER = "denoiser"
DTYPES = ("float32", "int64")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def parse_manifest(data: bytes) -> Manifest:
    """What the bytes of a bundle.json say. Raises InputError naming the field, what was expected and what was got."""
    fields = Fields(strict_json.loads(data, FILE, MAX_MANIFEST), FILE)
    fields.take("format", one_of, (FORMAT,))
    version = fields.take("version", _any)
    if type(version) is not int or version != VERSION:
        raise refuse(f"{FILE}: version", f"{VERSION}, the only one this fewstep reads (a newer fewstep may)", version)
    contract = take_contract(fields)
    manifest = Manifest(
        **vars(contract),
        family=fields.take("family", identifier),
        state=fields.take("state", _state),
        components=fields.take("components", _components),
        files=fields.take("files", _files),
    )
    fields.done()
    _check_files(manifest)
    _check_shapes(manifest)
    return manifest


def _any(value: object, where: str) -> object:
    return value


def _state(value: object, where: str) -> StateSpec:
    fields = Fields(value, where)
    shape = tuple(whole(n, f"{where}.shape", 1, MAX_SIDE) for n in fields.take("shape", sequence, 1, 8))
    fields.done()
    return StateSpec(bounded(shape, f"{where}.shape"))


def _components(value: object, where: str) -> MappingProxyType[str, Component]:
    fields = Fields(value, where)
    out = {DENOISER: fields.take(DENOISER, _component)}
    fields.done()
    return MappingProxyType(out)


def _component(value: object, where: str) -> Component:
    fields = Fields(value, where)
    graph = fields.take("graph", file_name)
    weights = tuple(file_name(v, f"{where}.weights") for v in fields.take("weights", sequence, 0, MAX_FILES))
    distinct((graph, *weights), f"{where}.weights")
    inputs, outputs = (fields.take(key, _tensors) for key in ("inputs", "outputs"))
    distinct([tensor.name for tensor in inputs + outputs], f"{where}.inputs")
    fields.done()
    return Component(graph, weights, inputs, outputs)


def _tensors(value: object, where: str) -> tuple[TensorSpec, ...]:
    return tuple(_tensor(v, f"{where}[{i}]") for i, v in enumerate(sequence(value, where, 1, 16)))


def _tensor(value: object, where: str) -> TensorSpec:
    fields = Fields(value, where)
    name, dtype = fields.take("name", text, 128), fields.take("dtype", one_of, DTYPES)
    batch, *rest = fields.take("shape", sequence, 1, 9)
    if batch != BATCH:
        raise refuse(f"{where}.shape", f"{BATCH!r} as the first axis", batch)
    shape = tuple(whole(n, f"{where}.shape", 1, MAX_SIDE) for n in rest)
    fields.done()
    return TensorSpec(name, dtype, (BATCH, *bounded(shape, f"{where}.shape")))


def _files(value: object, where: str) -> MappingProxyType[str, FileEntry]:
    fields = Fields(value, where)
    if len(fields.keys()) > MAX_FILES:
        raise refuse(where, f"at most {MAX_FILES} files", len(fields.keys()))
    out = {file_name(key, where): fields.take(key, _file_entry) for key in fields.keys()}  # noqa: SIM118
    if FILE in out:
        raise refuse(where, "the other files of the bundle", FILE)
    total = sum(entry.size for entry in out.values())
    if total > MAX_FILE_SIZE:
        raise refuse(where, f"at most {MAX_FILE_SIZE} bytes in all", total)
    return MappingProxyType(out)


def _file_entry(value: object, where: str) -> FileEntry:
    fields = Fields(value, where)
    sha256 = fields.take("sha256", text, 64)
    if not _SHA256.fullmatch(sha256):
        raise refuse(f"{where}.sha256", "64 lower-case hexadecimal digits", sha256)
    out = FileEntry(sha256, fields.take("size", whole, 0, MAX_FILE_SIZE))
    fields.done()
    return out


def _check_files(manifest: Manifest) -> None:
    named = {f"components.{key}": (c.graph, *c.weights) for key, c in manifest.components.items()}
    for where, names in {"license": (manifest.license.file,), **named}.items():
        for name in names:
            if name not in manifest.files:
                raise InputError(f"{FILE}: {where}: file {name} is not listed in files")


def _check_shapes(manifest: Manifest) -> None:
    """A denoiser is F(x, t[, labels]); without a decoder the state is the picture."""
    image, x = manifest.image, (BATCH, *manifest.state.shape)
    if manifest.state.shape != (image.channels, image.height, image.width):
        raise refuse(f"{FILE}: state.shape", "channels, height and width of image", list(manifest.state.shape))
    labels = [("int64", (BATCH, len(manifest.labels)))] if manifest.labels else []
    denoiser = manifest.components[DENOISER]
    for key, tensors, expected in (
        ("inputs", denoiser.inputs, [("float32", x), ("float32", (BATCH,)), *labels]),
        ("outputs", denoiser.outputs, [("float32", x)]),
    ):
        found: list[tuple[str, Any]] = [(tensor.dtype, tensor.shape) for tensor in tensors]
        if found != expected:
            raise refuse(f"{FILE}: components.{DENOISER}.{key}", f"dtypes and shapes {expected}", found)

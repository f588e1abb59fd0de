"""A bundle: a model as a folder of files. Nothing in it is believed before it was checked."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from fewstep.engine.bundle_manifest import Component, FileEntry, Manifest, Stage
from fewstep.engine.reading.manifest_reader import FILE, MAX_FILE_SIZE, MAX_MANIFEST, parse_manifest
from fewstep.engine.reading.onnx_external import check_graph
from fewstep.engine.reading.regular_file import MappedFile, map_regular, open_folder, read_regular
from fewstep.engine.reading.safetensors_header import Tensor, read_header
from fewstep.errors import BundleError, InputError

MAPPED = 1 << 26  # bytes of weights from which a file stays on the disk


@dataclass(frozen=True)
class Bundle:
    """1. `files` maps names of the manifest to bytes; those bytes, not the disk, are what was checked.
    2. `mapped` has the weights that are too large to be copied: pages of the very files that were checked, which
       `check_unchanged` can tell of.
    3. `digest` is the SHA-256 of bundle.json, and so of everything: a key for caches.
    4. Files of the folder that the manifest does not list are never opened.
    """

    path: Path
    digest: str
    manifest: Manifest
    files: Mapping[str, bytes] = field(repr=False)
    mapped: Mapping[str, MappedFile] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, hard_links: bool = False) -> "Bundle":
        """Reads and checks a bundle folder. Raises BundleError, in one line, naming the file and the cause.

        hard_links: allow files with more than one name; for the package's own models, which installers hard-link.
        """
        try:
            with open_folder(path) as folder:
                data = read_regular(folder, FILE, MAX_MANIFEST, hard_links=hard_links)
                manifest = parse_manifest(data)
                _check_room(manifest)
                large = _large(manifest)
                mapped = {name: _map_file(folder, name, manifest.files[name], hard_links) for name in large}
                small = {name: entry for name, entry in manifest.files.items() if name not in large}
                files = {name: _read_file(folder, name, entry, hard_links) for name, entry in small.items()}
            for component in manifest.components.values():
                _check_component(component, files, mapped)
        except InputError as error:
            raise BundleError(f"{_printable(path)}: {error}") from error
        digest = hashlib.sha256(data).hexdigest()
        return cls(Path(path), digest, manifest, MappingProxyType(files), MappingProxyType(mapped))

    def check_unchanged(self) -> None:
        """Raises BundleError where a mapped file was written to since it was checked."""
        for file in self.mapped.values():
            file.check()

    def session_inputs(
        self, component: str, stage: str | None = None
    ) -> tuple[bytes, list[tuple[str, bytes | MappedFile]]]:
        """The graph and the weights files (name, bytes) of a component, for onnxruntime's loading from memory.

        stage: the name of one, for that part of the component.
        """
        spec = self.manifest.components[component]
        graph = spec.graph if stage is None else spec.stages[stage].graph
        return self.files[graph], [(name, _data(name, self.files, self.mapped)) for name in spec.weights]


def _check_room(manifest: Manifest) -> None:
    size = sum(entry.size for entry in manifest.files.values())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise InputError(f"{FILE}: files: expected at most {memory} bytes, this machine's memory, got {size} in all")


def _large(manifest: Manifest) -> list[str]:
    """Weights that are nothing else too."""
    parts: list[Component | Stage] = [*manifest.components.values()]
    parts += [stage for component in manifest.components.values() for stage in component.stages.values()]
    others = {part.graph for part in parts} | {text.tokenizer for text in manifest.texts}
    weights = dict.fromkeys(name for component in manifest.components.values() for name in component.weights)
    return [name for name in weights if manifest.files[name].size > MAPPED and name not in others]


def _read_file(folder: int, name: str, entry: FileEntry, hard_links: bool) -> bytes:
    data = read_regular(folder, name, MAX_FILE_SIZE, entry.size, hard_links)
    _check_digest(name, entry, hashlib.sha256(data).hexdigest())
    return data


def _map_file(folder: int, name: str, entry: FileEntry, hard_links: bool) -> MappedFile:
    file = map_regular(folder, name, MAX_FILE_SIZE, entry.size, hard_links)
    _check_digest(name, entry, file.sha256)
    return file


def _check_digest(name: str, entry: FileEntry, digest: str) -> None:
    if digest != entry.sha256:
        raise InputError(f"{name}: expected SHA-256 {entry.sha256}, got {digest}; it is damaged or was changed")


def _data(name: str, files: Mapping[str, bytes], mapped: Mapping[str, MappedFile]) -> bytes | MappedFile:
    return mapped[name] if name in mapped else files[name]


def _check_component(component: Component, files: Mapping[str, bytes], mapped: Mapping[str, MappedFile]) -> None:
    weights: dict[str, list[Tensor]] = {
        name: read_header(_data(name, files, mapped), name) for name in component.weights
    }
    parts: list[Component | Stage] = [component, *component.stages.values()]
    for part in parts:
        check_graph(files[part.graph], part, weights)


def _printable(path: str | os.PathLike[str]) -> str:
    shown = os.fspath(path)
    return shown if isinstance(shown, str) and shown.isprintable() else repr(shown)

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
from fewstep.engine.reading.regular_file import open_folder, read_regular
from fewstep.engine.reading.safetensors_header import Tensor, read_header
from fewstep.errors import BundleError, InputError


@dataclass(frozen=True)
class Bundle:
    """1. `files` maps each name of the manifest to its bytes; those bytes, not the disk, are what was checked.
    2. `digest` is the SHA-256 of bundle.json, and so of everything: a key for caches.
    3. Files of the folder that the manifest does not list are never opened.
    """

    path: Path
    digest: str
    manifest: Manifest
    files: Mapping[str, bytes] = field(repr=False)

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
                files = {name: _read_file(folder, name, entry, hard_links) for name, entry in manifest.files.items()}
            for component in manifest.components.values():
                _check_component(component, files)
        except InputError as error:
            raise BundleError(f"{_printable(path)}: {error}") from error
        return cls(Path(path), hashlib.sha256(data).hexdigest(), manifest, MappingProxyType(files))

    def session_inputs(self, component: str, stage: str | None = None) -> tuple[bytes, list[tuple[str, bytes]]]:
        """The graph and the weights files (name, bytes) of a component, for onnxruntime's loading from memory.

        stage: the name of one, for that part of the component.
        """
        spec = self.manifest.components[component]
        graph = spec.graph if stage is None else spec.stages[stage].graph
        return self.files[graph], [(name, self.files[name]) for name in spec.weights]


def _check_room(manifest: Manifest) -> None:
    size = sum(entry.size for entry in manifest.files.values())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise InputError(f"{FILE}: files: expected at most {memory} bytes, this machine's memory, got {size} in all")


def _read_file(folder: int, name: str, entry: FileEntry, hard_links: bool) -> bytes:
    data = read_regular(folder, name, MAX_FILE_SIZE, entry.size, hard_links)
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry.sha256:
        raise InputError(f"{name}: expected SHA-256 {entry.sha256}, got {digest}; it is damaged or was changed")
    return data


def _check_component(component: Component, files: Mapping[str, bytes]) -> None:
    weights: dict[str, list[Tensor]] = {name: read_header(files[name], name) for name in component.weights}
    parts: list[Component | Stage] = [component, *component.stages.values()]
    for part in parts:
        check_graph(files[part.graph], part, weights)


def _printable(path: str | os.PathLike[str]) -> str:
    shown = os.fspath(path)
    return shown if isinstance(shown, str) and shown.isprintable() else repr(shown)

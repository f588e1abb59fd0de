"""Writes a bundle so that its folder is there whole or not at all."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType

from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import (
    ENCODER,
    Component,
    Contract,
    FileEntry,
    Manifest,
    ScheduleContract,
    StateSpec,
)
from fewstep.engine.reading.manifest_reader import EDITING, FILE, FORMAT, LATENT, RANGED, STAGED
from fewstep.errors import OutputError


class NewBundle:
    """A bundle while it is written, file by file, beside the folder that it is to be."""

    def __init__(self, target: Path, path: Path) -> None:
        self._target, self.path = target, path
        self._entries: dict[str, FileEntry] = {}

    def write(self, name: str, chunks: Iterable[bytes | memoryview]) -> None:
        """One file, whose chunks are made as they are written. Raises OutputError, and what makes them."""
        digest, size = hashlib.sha256(), 0
        with _writing(self._target), open(self.path / name, "xb") as file:
            for chunk in chunks:
                digest.update(chunk)
                size += file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        self._entries[name] = FileEntry(digest.hexdigest(), size)

    def finish(self, contract: Contract, family: str, state: StateSpec, components: Mapping[str, Component]) -> Bundle:
        """The bundle at its place, as opened, with every check of a stranger's passed.

        Raises OutputError, and BundleError if what was asked for is no legal bundle.
        """
        entries = dict(sorted(self._entries.items()))
        manifest = Manifest(**vars(contract), family=family, state=state, components=components, files=entries)
        self.write(FILE, [manifest_json(manifest)])
        with _writing(self._target):
            _sync(self.path)
            bundle = Bundle.open(self.path)
            _swap(self.path, self._target)
        return replace(bundle, path=self._target)


@contextmanager
def new_bundle(out: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[NewBundle]:
    """For the folder `out`, which is there whole when it is finished, or as it was before.

    Raises OutputError if `out` exists, unless `overwrite` and it is a bundle, which is then replaced whole; and if it
    cannot be written.
    """
    target = Path(out)
    check_target(target, overwrite)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        with _writing(target):
            partial.mkdir()
        yield NewBundle(target, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error


def manifest_json(manifest: Manifest) -> bytes:
    """The bytes of bundle.json: the same for the same manifest, for people to read too; of the first version that can
    say it.
    """
    plain = {field.name: getattr(manifest, field.name) for field in fields(manifest)}
    version = LATENT
    if not manifest.texts and manifest.embedded_guidance is None and len(manifest.components) == 1:
        del plain["texts"], plain["embedded_guidance"]
        version = STAGED
    if manifest.schedule.guidance_range is not None:
        plain = {**plain, "texts": manifest.texts, "embedded_guidance": manifest.embedded_guidance}
        version = RANGED
    if ENCODER in manifest.components:
        version = EDITING
    document = {"format": FORMAT, "version": version, **plain}
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n").encode()


def _plain(value: object) -> object:
    """Dataclasses and read-only mappings as JSON's own types."""
    if isinstance(value, MappingProxyType):
        return dict(value)
    plain = {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]
    if isinstance(value, ScheduleContract) and value.guidance_range is None:
        del plain["guidance_range"]
    return plain


def check_target(target: Path, overwrite: bool) -> None:
    """Raises OutputError if `target` may not be written: it exists, or, with `overwrite`, is no bundle folder."""
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise OutputError(f"{target}: exists already; choose another folder or overwrite it (--force)")
    if target.is_symlink() or not (target / FILE).is_file() or any(p.is_dir() for p in target.iterdir()):
        raise OutputError(f"{target}: is no bundle folder, so it is not overwritten; remove it or choose another")


def _swap(partial: Path, target: Path) -> None:
    """Renames, with the old folder set aside meanwhile and put back if that fails."""
    if not os.path.lexists(target):
        os.rename(partial, target)
    else:
        old = partial.with_suffix(".old")
        os.rename(target, old)
        try:
            os.rename(partial, target)
        except BaseException:
            os.rename(old, target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    _sync(target.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

import errno
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from copied_bundle import write_copy

from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import Contract
from fewstep.engine.reading.manifest_reader import parse_manifest
from fewstep.errors import BundleError, InputError, OutputError
from fewstep.export.bundle import manifest_json


@pytest.fixture(scope="module")
def source(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


def write(out: Path, source: Bundle, *, overwrite: bool = False, **changes: Any) -> Bundle:
    manifest = replace(source.manifest, **changes)
    contract = Contract(**{key: getattr(manifest, key) for key in Contract.__dataclass_fields__})
    files = {**source.files}
    return write_copy(out, contract, manifest.family, manifest.state, manifest.components, files, overwrite=overwrite)


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_manifest_is_read_as_it_was_written(source: Bundle) -> None:
    assert parse_manifest(manifest_json(source.manifest)) == source.manifest


def test_what_is_written_is_what_is_returned(source: Bundle, tmp_path: Path) -> None:
    written = write(tmp_path / "copy", source)
    assert written == Bundle.open(tmp_path / "copy") and written.digest == source.digest
    assert listing(tmp_path / "copy") == listing(source.path)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_a_range_of_guidance_is_kept(source: Bundle, tmp_path: Path) -> None:
    schedule = replace(source.manifest.schedule, guidance=5.0, guidance_range=(5.0, 8.0))
    made = write(tmp_path / "ranged", source, schedule=schedule)
    text = manifest_json(made.manifest).decode()
    assert made.manifest.schedule == schedule and '"version": 4' in text
    assert b"guidance_range" not in manifest_json(source.manifest)
    for wrong, message in (("6, 8", "around a guidance that is not 1, here 5"), ("5", "guidance_range: expected")):
        with pytest.raises(InputError, match=message):
            parse_manifest(re.sub(r"5\.0,\s*8\.0", wrong, text).encode())
    with pytest.raises(InputError, match="guidance_range: expected to be there from version 4 on, got 'version 3'"):
        parse_manifest(text.replace('"version": 4', '"version": 3').encode())


def test_what_is_there_is_kept(source: Bundle, tmp_path: Path) -> None:
    write(tmp_path / "copy", source)
    before = listing(tmp_path / "copy")
    with pytest.raises(OutputError, match="exists already"):
        write(tmp_path / "copy", source, description="Another.")
    assert listing(tmp_path / "copy") == before


def test_overwriting_replaces_all_of_a_bundle(source: Bundle, tmp_path: Path) -> None:
    write(tmp_path / "copy", source)
    (tmp_path / "copy" / "stray").write_text("left over")
    write(tmp_path / "copy", source, overwrite=True, description="Another.")
    assert Bundle.open(tmp_path / "copy").manifest.description == "Another."
    assert "stray" not in listing(tmp_path / "copy") and os.listdir(tmp_path) == ["copy"]


def test_only_bundles_are_overwritten(source: Bundle, tmp_path: Path) -> None:
    write(tmp_path / "copy", source)
    home, file, link, nested = (tmp_path / name for name in ("home", "file", "link", "nested"))
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    file.write_text("data")
    link.symlink_to(tmp_path / "copy")
    shutil.copytree(tmp_path / "copy", nested)
    (nested / "folder").mkdir()
    for out in (home, file, link, nested):
        with pytest.raises(OutputError, match="is no bundle folder, so it is not overwritten"):
            write(out, source, overwrite=True)
    assert (home / "thesis.txt").read_text() == "years of work" and file.read_text() == "data"


def test_a_folder_that_is_missing_is_not_made(source: Bundle, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot be written: No such file or directory"):
        write(tmp_path / "absent" / "copy", source)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "rename"])
@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_failure_leaves_what_was_there(
    source: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, after: int, fault: BaseException
) -> None:
    write(tmp_path / "copy", source)
    before, real, calls = listing(tmp_path / "copy"), getattr(os, call), iter(range(1000))

    def failing(*args: Any) -> object:
        if next(calls) == after:
            raise fault
        return real(*args)

    monkeypatch.setattr(os, call, failing)
    with pytest.raises((OutputError, KeyboardInterrupt)) as caught:
        write(tmp_path / "copy", source, overwrite=True, description="Another.")
    if isinstance(fault, OSError):
        assert str(caught.value) == f"{tmp_path / 'copy'}: cannot be written: No space left on device"
    monkeypatch.undo()
    assert listing(tmp_path / "copy") == before and os.listdir(tmp_path) == ["copy"]


def test_an_illegal_bundle_is_never_there(source: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="description: expected a printable string"):
        write(tmp_path / "copy", source, description="two\nlines")
    assert os.listdir(tmp_path) == []

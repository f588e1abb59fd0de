import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from forged_bundle import GRAPH, LICENSE, SIDE, WEIGHT, WEIGHTS, Forgery

from fewstep.engine.bundle import Bundle
from fewstep.errors import BundleError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Forgery().write(tmp_path / "forged")


def refused(folder: Path | str, match: str) -> str:
    """The message of the refusal, which is one line and names no place but the one that was given."""
    with pytest.raises(BundleError, match=match) as caught:
        Bundle.open(folder)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"{folder}: ")
    assert os.getcwd() not in message
    return message


def test_a_bundle_is_its_files(folder: Path) -> None:
    bundle = Bundle.open(folder)
    assert bundle.files == {name: (folder / name).read_bytes() for name in (GRAPH, WEIGHTS, LICENSE)}
    assert bundle.manifest.labels[0].values == ("one", "two")
    assert bundle.manifest.schedule.steps[2]["times"] == [1.5, 1.1]
    assert len(bundle.digest) == 64 and repr(bundle).count("CC0 1.0") == 0


def test_nothing_is_read_from_the_disk_after_opening(folder: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(folder)
    shutil.rmtree(folder)
    graph, weights = bundle.session_inputs("denoiser")
    options = ort.SessionOptions()
    names, buffers = zip(*weights, strict=True)
    options.add_external_initializers_from_files_in_memory(list(names), list(buffers), [len(b) for b in buffers])
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((2, 3, SIDE, SIDE)).astype(np.float32)
    t = np.array([1, 2], np.float32)
    (found,) = session.run(None, {"x": x, "t": t, "labels": np.array([[0], [1]])})
    expected = x @ WEIGHT.astype(np.float32) + t.reshape(2, 1, 1, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_files_that_are_not_listed_are_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "stray")
    assert "stray" not in Bundle.open(folder).files


def test_what_was_opened_cannot_be_changed(folder: Path) -> None:
    bundle = Bundle.open(folder)
    for change in (
        lambda: bundle.files.__setitem__(LICENSE, b""),  # type: ignore[index]
        lambda: bundle.manifest.schedule.steps[1].__setitem__("times", [1]),  # type: ignore[index]
        lambda: setattr(bundle.manifest, "name", "other"),
    ):
        with pytest.raises((AttributeError, TypeError)):
            change()


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS, LICENSE])
@pytest.mark.parametrize("cut", [0, 5], ids=["empty", "cut"])
def test_a_file_of_another_size_is_refused(folder: Path, name: str, cut: int) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:cut])
    refused(folder, f"{name}: expected [0-9]+ bytes, got {cut}; it is damaged or incomplete")


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS, LICENSE])
def test_a_changed_file_is_refused(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    refused(folder, f"{name}: expected SHA-256 [0-9a-f]{{64}}, got [0-9a-f]{{64}}")


def replaced_by_link(path: Path) -> None:
    path.rename(path.parent.parent / "outside")
    path.symlink_to(path.parent.parent / "outside")


def replaced_by_hard_link(path: Path) -> None:
    os.link(path, path.parent.parent / "outside")


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replaced_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replaced_by_socket(path: Path) -> None:
    path.unlink()
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path has little room
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("name", ["bundle.json", GRAPH, WEIGHTS, LICENSE])
@pytest.mark.parametrize(
    ("replace", "cause"),
    [
        (Path.unlink, "cannot be opened: no such file or directory"),
        (replaced_by_link, "cannot be opened: it is a symbolic link"),
        (replaced_by_hard_link, "expected a file of one name, got one with 2 hard links"),
        (replaced_by_folder, "expected a regular file"),
        (replaced_by_pipe, "expected a regular file"),
        (replaced_by_socket, "cannot be opened: no such device or address"),
    ],
    ids=["missing", "symbolic link", "hard link", "folder", "pipe", "socket"],
)
def test_only_regular_files_of_the_folder_are_read(
    folder: Path, name: str, replace: Callable[[Path], None], cause: str
) -> None:
    replace(folder / name)
    refused(folder, f"{name}: {cause}")


def test_hard_links_are_for_those_who_ask(folder: Path) -> None:
    replaced_by_hard_link(folder / WEIGHTS)
    assert Bundle.open(folder, hard_links=True).manifest.name == "forged"


@pytest.mark.parametrize("slash", ["", "/", "//"], ids=["plain", "slash", "two slashes"])
def test_a_link_to_a_folder_is_refused(folder: Path, tmp_path: Path, slash: str) -> None:
    (tmp_path / "link").symlink_to(folder)
    refused(f"{tmp_path}/link{slash}", "not a folder that can be opened")


@pytest.mark.parametrize("path", ["absent", f"forged/{GRAPH}", "nul\0nul"])
def test_a_path_that_is_no_folder_is_refused(folder: Path, path: str) -> None:
    with pytest.raises(BundleError, match="not a folder that can be opened"):
        Bundle.open(folder.parent / path)


@pytest.mark.parametrize("name", ["bundle.json", LICENSE])
def test_sizes_are_checked_before_reading(tmp_path: Path, name: str) -> None:
    """Sparse files of 1 TiB: reading one would not end."""
    forgery = Forgery()
    if name == LICENSE:
        forgery.manifest["files"] = {name: {"sha256": "0" * 64, "size": 1 << 40}}
    folder = forgery.write(tmp_path)
    os.truncate(folder / name, 1 << 40)
    refused(folder, f"{name}.*(at most|from 0 to) [0-9]+")


def test_a_bundle_larger_than_the_memory_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 2, "SC_PAGE_SIZE": 100}[name])
    refused(folder, r"bundle\.json: files: expected at most 200 bytes, this machine's memory, got [0-9]+ in all")


def test_opening_imports_neither_torch_nor_onnx() -> None:
    code = "import sys, fewstep.engine.bundle; print(*{'torch', 'onnx', 'onnxruntime'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

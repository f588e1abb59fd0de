import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fewstep.engine.picture_file import check_destination, encode, format_of, write_all
from fewstep.errors import InputError, OutputError

PICTURE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.png", "PNG"), ("a.PNG", "PNG"), ("a.jpg", "JPEG"), ("a.jpeg", "JPEG"), ("a.webp", "WEBP")],
)
def test_the_suffix_names_the_format(tmp_path: Path, name: str, format: str) -> None:
    path = tmp_path / name
    write_all([(path, encode(PICTURE, format_of(path), {"seed": "7"}))])
    with Image.open(path) as image:
        assert image.format == format and image.size == (8, 8)
        if format != "JPEG":
            assert np.array_equal(np.asarray(image), PICTURE)
        if format == "PNG":
            assert image.info["seed"] == "7"
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a", "a.gif", "a.png.txt", ".png", "a\0.png", ""])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"expected a name ending in \.png"):
        format_of(Path(name))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    for act in (check_destination, lambda path: write_all([(path, b"x")])):
        with pytest.raises(OutputError, match=r"the folder .* does not exist"):
            act(tmp_path / "no" / "a.png")


def test_a_folder_or_device_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "d.png").mkdir()
    os.mkfifo(tmp_path / "f.png")
    for name in ("d.png", "f.png"):
        with pytest.raises(OutputError, match="not a regular file"):
            write_all([(tmp_path / name, b"x")])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.png", "f.png"]


def test_a_symlink_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    write_all([(tmp_path / "link.png", b"new")])
    assert (tmp_path / "link.png").is_symlink() and (tmp_path / "real.png").read_bytes() == b"new"


def test_a_symlink_to_itself_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    with pytest.raises(OutputError, match="a symbolic link that leads back to itself"):
        write_all([(tmp_path / "a.png", b"new")])
    assert all((tmp_path / name).is_symlink() for name in ("a.png", "b.png"))


@pytest.mark.parametrize("failing", ["open", "write", "fsync"])
def test_a_failure_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    """The second of two files fails: the first is not there either, and an old file keeps its bytes."""
    old = tmp_path / "b.png"
    old.write_bytes(b"old")
    calls = 0

    def full(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **kwargs)

        return call

    if failing == "write":
        monkeypatch.setattr("fewstep.engine.picture_file._write", full(_write_half))
    else:
        monkeypatch.setattr(os, failing, full(getattr(os, failing)))
    with pytest.raises(OutputError, match=r"cannot write '.*b\.png': No space left on device"):
        write_all([(tmp_path / "a.png", b"new"), (old, b"new")])
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["b.png"] and old.read_bytes() == b"old"


def _write_half(temporary: Path, data: bytes) -> None:
    temporary.write_bytes(data[: len(data) // 2])


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_file_that_the_system_refuses_to_grow(tmp_path: Path) -> None:
    """What a full disk does, by the kernel: a limit of 100 bytes a file."""
    code = (
        "import resource, sys; from pathlib import Path; from fewstep.engine.picture_file import write_all\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "write_all([(Path(sys.argv[1]), bytes(1000))])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.png"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "OutputError: cannot write" in done.stderr and "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_all([(tmp_path / "a.png", b"x")])
    finally:
        os.umask(before)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640

"""Picture files of strangers: read whole, or refused in one line before anything is decoded."""

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fewstep.engine.reading.picture import MAX_FILE, as_mask, as_rgb
from fewstep.errors import InputError

SIZE = (6, 8)
RGB = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_what_is_in_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(RGB).save(path, lossless=True)
    assert np.array_equal(as_rgb("image", path, SIZE), RGB) and np.array_equal(as_rgb("image", str(path), SIZE), RGB)
    with Image.open(path) as picture:
        assert np.array_equal(as_rgb("image", picture, SIZE), RGB)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_other_modes_become_rgb_and_grey(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(RGB).convert(mode)
    picture.save(tmp_path / "a.png")
    assert np.array_equal(as_rgb("image", tmp_path / "a.png", SIZE), np.asarray(picture.convert("RGB")))
    assert np.array_equal(as_mask("mask", tmp_path / "a.png", SIZE), np.asarray(picture.convert("L")) >= 128)


def test_as_its_camera_was_held(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(as_rgb("image", tmp_path / "a.png", (8, 6)), np.rot90(RGB, -1))
    with pytest.raises(InputError, match="expected 8 x 6 pixels, as the model makes, got 6 x 8"):
        as_rgb("image", tmp_path / "a.png", SIZE)


def test_white_is_128_and_up() -> None:
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    assert as_mask("mask", grey, (1, 4)).tolist() == [[False, False, True, True]]
    assert as_mask("mask", Image.fromarray(grey), (1, 4)).tolist() == [[False, False, True, True]]
    assert as_mask("mask", grey > 0, (1, 4)).tolist() == [[False, True, True, True]]


def whole(tmp_path: Path, size: tuple[int, int] = SIZE) -> bytes:
    Image.fromarray(np.resize(RGB, (*size, 3))).save(tmp_path / "whole.png")
    return (tmp_path / "whole.png").read_bytes()


@pytest.mark.parametrize("cut", [0, 1, 8, 20, 40, -20, -1])
def test_truncated_files_are_refused(tmp_path: Path, cut: int) -> None:
    data = whole(tmp_path)
    (tmp_path / "a.png").write_bytes(data[:cut])
    if cut in (-1, -20):  # of the last chunk, which holds no pixels, Pillow does not ask
        as_rgb("image", tmp_path / "a.png", SIZE)
        return
    with pytest.raises(InputError, match=r"image: .*a.png' is no whole PNG, JPEG or WebP: "):
        as_rgb("image", tmp_path / "a.png", SIZE)


def test_damaged_bytes_are_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    data, random = bytearray(whole(tmp_path)), np.random.default_rng(2)
    refused = 0
    for _ in range(200):
        other = bytearray(data)
        for at in random.integers(0, len(data), 3):
            other[at] = random.integers(256)
        (tmp_path / "a.png").write_bytes(other)
        try:
            assert as_rgb("image", tmp_path / "a.png", SIZE).shape == (*SIZE, 3)
        except InputError:
            refused += 1
    assert refused > 100


def test_a_huge_picture_is_refused_by_its_head(tmp_path: Path) -> None:
    data = bytearray(whole(tmp_path))
    data[16:24] = (9000).to_bytes(4, "big") * 2  # below what Pillow warns of
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match="expected 8 x 6 pixels, as the model makes, got 9000 x 9000; resize"):
        as_rgb("image", tmp_path / "a.png", SIZE)
    data[16:24] = (2**31 - 1).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match="is no whole PNG, JPEG or WebP: "):
        as_rgb("image", tmp_path / "a.png", SIZE)


def test_what_is_no_picture_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "page.png").write_text("<svg/>")
    Image.fromarray(RGB).save(tmp_path / "a.bmp")
    (tmp_path / "large.png").touch()
    os.truncate(tmp_path / "large.png", MAX_FILE + 1)
    told: dict[Any, str] = {
        tmp_path / "none.png": "cannot be opened: No such file or directory",
        tmp_path: "expected a regular file, got a folder, device, pipe or socket",
        tmp_path / "pipe.png": "expected a regular file",
        "/dev/zero": "expected a regular file",
        tmp_path / "page.png": "is no whole PNG, JPEG or WebP",
        tmp_path / "a.bmp": "is no whole PNG, JPEG or WebP",
        tmp_path / "large.png": "expected at most 268435456 bytes, got 268435457",
        "a\0b": "cannot be opened: embedded null byte",
        b"a.png": "expected the name of a file, a Pillow image or an array",
        None: "expected the name of a file, a Pillow image or an array",
    }
    for path, message in told.items():
        with pytest.raises(InputError, match=message):
            as_rgb("image", path, SIZE)

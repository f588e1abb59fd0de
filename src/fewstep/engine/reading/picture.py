"""Pictures that callers give: files, Pillow images and arrays, each of one size and as bytes in RGB or grey."""

import io
import os
import stat
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fewstep.engine.checks import refuse, short
from fewstep.engine.picture_file import FORMATS
from fewstep.errors import InputError

Bytes = NDArray[np.uint8]
MAX_FILE = 1 << 28  # bytes
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")


def as_rgb(where: str, value: object, size: tuple[int, int]) -> Bytes:
    """uint8 (H, W, 3) of a path, a Pillow image or such an array. size: (H, W). Raises InputError."""
    if isinstance(value, np.ndarray):
        if value.dtype != np.uint8 or value.shape != (*size, 3):
            raise refuse(where, f"an array uint8 {(*size, 3)}", f"{value.dtype} {value.shape}")
        return value
    return np.asarray(_picture(where, value, size).convert("RGB"))


def as_mask(where: str, value: object, size: tuple[int, int]) -> NDArray[np.bool_]:
    """bool (H, W) of a path, a Pillow image or an array of uint8 or bool: true where it is white, 128 and up."""
    if isinstance(value, np.ndarray):
        if value.dtype not in (np.uint8, np.bool_) or value.shape != size:
            raise refuse(where, f"an array of uint8 or bool {size}", f"{value.dtype} {value.shape}")
        return value if value.dtype == np.bool_ else value > 127
    return np.asarray(_picture(where, value, size).convert("L")) > 127


def _picture(where: str, value: object, size: tuple[int, int]) -> Image.Image:
    """As its camera was held."""
    if isinstance(value, Image.Image):
        return _upright(where, value, size)
    if not isinstance(value, str | os.PathLike) or not isinstance(name := os.fspath(value), str) or not name:
        raise refuse(where, "the name of a file, a Pillow image or an array", value)
    data = _read(where, name)
    try:
        with Image.open(io.BytesIO(data), formats=sorted(set(FORMATS.values()))) as picture:
            return _upright(where, picture, size)
    except InputError:
        raise
    except Exception as error:  # of a stranger's file Pillow raises whatever its decoders raise
        raise InputError(f"{where}: {short(name)} is no whole PNG, JPEG or WebP: {short(str(error))}") from error


def _upright(where: str, picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Nothing is decoded before its size is known to be the model's."""
    H, W = size
    if picture.size not in ((W, H), (H, W)):
        raise _other_size(where, picture, size)
    if picture.mode not in MODES:
        raise InputError(f"{where}: expected a picture in RGB or grey of 8 bits, got mode {picture.mode}; convert it")
    turned: Any = ImageOps.exif_transpose(picture)
    if turned.size != (W, H):
        raise _other_size(where, turned, size)
    turned.load()
    made: Image.Image = turned
    return made


def _other_size(where: str, picture: Image.Image, size: tuple[int, int]) -> InputError:
    W, H = picture.size
    return InputError(
        f"{where}: expected {size[1]} x {size[0]} pixels, as the model makes, got {W} x {H}; resize or crop it"
    )


def _read(where: str, name: str) -> bytes:
    """Of a regular file, through links."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{where}: {short(name)} cannot be opened: {reason}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{where}: {short(name)}: expected a regular file, got a folder, device, pipe or socket")
        if found.st_size > MAX_FILE:
            raise InputError(f"{where}: {short(name)}: expected at most {MAX_FILE} bytes, got {found.st_size}")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_FILE)
    finally:
        os.close(descriptor)

"""Pictures as files: PNG, JPEG and WebP, each complete or not there at all."""

import io
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fewstep.engine.image import Images
from fewstep.errors import InputError, OutputError

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def format_of(path: Path) -> str:
    """Pillow's name of the format a file name's suffix asks for."""
    format = FORMATS.get(path.suffix.lower())
    if format is None or "\0" in str(path):
        raise InputError(f"output {str(path)!r}: expected a name ending in {', '.join(FORMATS)}")
    return format


def encode(image: Images, format: str, text: Mapping[str, str]) -> bytes:
    """uint8 (H, W, 3) as the bytes of a file; `text` becomes text chunks of a PNG, the other formats carry none."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    if format == "PNG":
        info = PngInfo()
        for key, value in text.items():
            info.add_itxt(key, value)
        picture.save(buffer, format, pnginfo=info)
    elif format == "JPEG":
        picture.save(buffer, format, quality=95, subsampling=0)
    else:
        picture.save(buffer, format, lossless=True)
    return buffer.getvalue()


def check_destination(path: Path) -> None:
    """Raise InputError or OutputError if a picture cannot go there, before it is made."""
    format_of(path)
    with _named(path):
        _target(path)


def write_all(files: Iterable[tuple[Path, bytes]]) -> None:
    """Write every file to a temporary neighbour first, then rename all: a disk that fills up leaves no trace.

    A symlink is followed. Raises OutputError, which names the file and the cause.
    """
    renames: list[tuple[Path, Path, Path]] = []
    try:
        for path, data in files:
            with _named(path):
                target = _target(path)
                temporary = target.with_name(f".fewstep-{secrets.token_hex(8)}.tmp")
                renames.append((path, temporary, target))
                _write(temporary, data)
        for path, temporary, target in renames:
            with _named(path):
                os.replace(temporary, target)
    finally:
        for _, temporary, _ in renames:
            temporary.unlink(missing_ok=True)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def _target(path: Path) -> Path:
    """The place to rename to, once it is known that a picture may go there."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError("it exists and is not a regular file")
    if not target.parent.is_dir():
        raise OSError(f"the folder {str(path.parent)!r} does not exist; create it first")
    return target


def _write(temporary: Path, data: bytes) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with open(descriptor, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(descriptor)

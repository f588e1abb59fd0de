"""Pictures as files: PNG, JPEG and WebP, each complete or not there at all."""

import io
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fewstep.engine.checks import refuse, short
from fewstep.engine.image import Images
from fewstep.errors import OutputError

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def destination(path: object) -> Path:
    """A caller's path of a picture, or InputError if no file can have that name."""
    if not isinstance(path, str | os.PathLike) or not isinstance(text := os.fspath(path), str) or not text:
        raise refuse("output", "the name of a file", path)
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise refuse("output", f"a name that {error.encoding} can write", text) from error
    if text.endswith(os.sep):
        raise refuse("output", "the name of a file, not of a folder", text)
    format_of(Path(text))
    return Path(text)


def format_of(path: Path) -> str:
    """Pillow's name of the format a file name's suffix asks for."""
    format = FORMATS.get(path.suffix.lower())
    if format is None or "\0" in str(path):
        raise refuse("output", f"a name ending in {', '.join(FORMATS)}", str(path))
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
    """Raise OutputError if a picture cannot go there, before it is made."""
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
            with suppress(OSError):  # most are renamed by now, and an error that is on its way says more
                temporary.unlink()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {short(str(path))}: {error.strerror or error}") from error


def _target(path: Path) -> Path:
    """The place to rename to, once it is known that a picture may go there."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError("it exists and is not a regular file")
    if target.is_symlink():
        raise OSError("it is a symbolic link that leads back to itself")
    if not target.parent.is_dir():
        raise OSError(f"the folder {short(str(path.parent))} does not exist; create it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OSError(f"the folder {short(str(path.parent))} cannot be written")
    return target


def _write(temporary: Path, data: bytes) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with open(descriptor, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(descriptor)

"""Reads files that a stranger arranged: each is opened once, and what was opened is what is checked and used."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from fewstep.errors import InputError

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_CHUNK = 1 << 30  # one read, so one copy, for most files


@contextmanager
def open_folder(path: str | os.PathLike[str]) -> Iterator[int]:
    """A descriptor of the folder. Raises InputError for a link, a file or nothing."""
    trimmed = os.fspath(path).rstrip("/") or "/"  # a trailing slash would follow a link
    try:
        descriptor = os.open(trimmed, _READ | os.O_DIRECTORY)
    except (OSError, ValueError) as error:
        raise InputError(f"not a folder that can be opened: {_reason(error)}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_regular(folder: int, name: str, max_size: int, size: int | None = None, hard_links: bool = False) -> bytes:
    """The bytes of a regular file of the folder, read once, after its size was checked.

    folder: a descriptor; name: a plain file name; size: what it must be, if known. Raises InputError for links,
    devices, pipes, other sizes and, unless hard_links, for a file that has a second name somewhere.
    """
    try:
        descriptor = os.open(name, _READ | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=folder)
    except OSError as error:
        raise InputError(f"{name}: cannot be opened: {_reason(error)}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{name}: expected a regular file, got a folder, device, pipe or socket")
        if found.st_nlink != 1 and not hard_links:
            raise InputError(f"{name}: expected a file of one name, got one with {found.st_nlink} hard links; copy it")
        if size is not None and found.st_size != size:
            raise InputError(f"{name}: expected {size} bytes, got {found.st_size}; it is damaged or incomplete")
        if found.st_size > max_size:
            raise InputError(f"{name}: expected at most {max_size} bytes, got {found.st_size}")
        return _read_all(descriptor, found.st_size, name)
    finally:
        os.close(descriptor)


def _read_all(descriptor: int, size: int, name: str) -> bytes:
    chunks: list[bytes] = []
    left = size
    while left:
        try:
            chunk = os.read(descriptor, min(left, _CHUNK))
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {_reason(error)}") from error
        if not chunk:
            raise InputError(f"{name}: expected {size} bytes, got {size - left}; it shrank while it was read")
        chunks.append(chunk)
        left -= len(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _reason(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return str(error)
    if error.errno == errno.ELOOP:
        return "it is a symbolic link"
    return (error.strerror or type(error).__name__).lower()

"""Reads files that a stranger arranged: each is opened once, and what was opened is what is checked and used."""

import errno
import hashlib
import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap

from fewstep.errors import BundleError, InputError

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_CHUNK = 1 << 30  # one read, so one copy, for most files
_HASHED = 1 << 22  # bytes that a digest is taken of at a time


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


class MappedFile(mmap):
    """The pages of a file that stays on the disk, read only, with the SHA-256 it had when it was opened.

    A file that takes its name, or its removal, changes nothing here. What is written into it does; `check` tells.
    """

    def __new__(cls, descriptor: int, size: int, name: str) -> "MappedFile":
        made: MappedFile = super().__new__(cls, descriptor, size, access=ACCESS_READ)
        made.name, made._size = name, size
        made._descriptor = os.dup(descriptor)
        weakref.finalize(made, os.close, made._descriptor)
        made._written = os.fstat(descriptor).st_mtime_ns
        made.sha256 = _digest(descriptor, size, name)
        made.check()
        return made

    name: str
    sha256: str
    _size: int
    _descriptor: int
    _written: int

    def check(self) -> None:
        """Raises BundleError where the file was written to since."""
        found = os.fstat(self._descriptor)
        if (found.st_size, found.st_mtime_ns) != (self._size, self._written):
            raise BundleError(f"{self.name}: was changed since it was checked; load the bundle again")


def read_regular(folder: int, name: str, max_size: int, size: int | None = None, hard_links: bool = False) -> bytes:
    """The bytes of a regular file of the folder, read once, after its size was checked.

    folder: a descriptor; name: a plain file name; size: what it must be, if known. Raises InputError for links,
    devices, pipes, other sizes and, unless hard_links, for a file that has a second name somewhere.
    """
    with _opened(folder, name, max_size, size, hard_links) as (descriptor, found):
        return _read_all(descriptor, found, name)


def map_regular(folder: int, name: str, max_size: int, size: int, hard_links: bool = False) -> MappedFile:
    """The same of a file that is not copied into memory; size: more than 0."""
    with _opened(folder, name, max_size, size, hard_links) as (descriptor, found):
        try:
            return MappedFile(descriptor, found, name)
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {_reason(error)}") from error


@contextmanager
def _opened(folder: int, name: str, max_size: int, size: int | None, hard_links: bool) -> Iterator[tuple[int, int]]:
    """A descriptor and the file's size."""
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
        yield descriptor, found.st_size
    finally:
        os.close(descriptor)


def _digest(descriptor: int, size: int, name: str) -> str:
    """Read rather than mapped, so that the pages are no part of this process before they are used."""
    digest, at = hashlib.sha256(), 0
    while at < size:
        chunk = os.pread(descriptor, min(size - at, _HASHED), at)
        if not chunk:
            raise InputError(f"{name}: expected {size} bytes, got {at}; it shrank while it was read")
        digest.update(chunk)
        at += len(chunk)
    return digest.hexdigest()


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

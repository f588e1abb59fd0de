"""What surrounds a command: its streams, its signals, and text that a stranger may have written."""

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO


def escaped(text: str) -> str:
    """Text of one line: what could move a terminal is written as in Python's source."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def open_streams() -> None:
    """Put /dev/null in the place of streams that the caller closed, and escape what their encodings cannot say.

    Otherwise the next file opened becomes standard output, and a library's message ends up in a picture.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard(stream: TextIO) -> None:
    """A stream takes no more: what is left of it goes to /dev/null, or the interpreter's last flush fails too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(line: str) -> None:
    """A line on standard error, if anything still takes it."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


@contextmanager
def interruptible(*names: str) -> Iterator[None]:
    """The signals of these names interrupt as Ctrl-C does, so that temporary files go.

    While they go a second signal is ignored (a caller may send it to the process and to its group); after that it ends
    the process at once. Python answers between calls only, and one into onnxruntime may take minutes: where there is
    nothing to clean up, leave SIGTERM to the system.
    """
    kinds = [getattr(signal, name) for name in names if hasattr(signal, name)]
    after: dict[signal.Signals, Any] = {}

    def interrupt(number: int, frame: FrameType | None) -> None:
        for kind in after:
            signal.signal(kind, signal.SIG_IGN)
            after[kind] = signal.SIG_DFL
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for kind in kinds:
            if signal.getsignal(kind) in (signal.SIG_DFL, signal.default_int_handler):
                after[kind] = signal.signal(kind, interrupt)
    try:
        yield
    finally:
        for kind, handler in after.items():
            signal.signal(kind, handler)

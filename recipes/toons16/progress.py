"""One line of progress on standard error: rewritten in a terminal, a line a minute in a log."""

import sys
import time
from types import TracebackType


class Progress:
    def __init__(self, what: str, total: int, start: int = 0) -> None:
        self.what, self.total, self.start = what, total, start
        self.began = time.monotonic()
        self.shown = 0.0

    def __enter__(self) -> "Progress":
        return self

    def update(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        live = sys.stderr.isatty()
        if done < self.total and now - self.shown < (0.5 if live else 60):
            return
        self.shown = now
        rate = (done - self.start) / max(now - self.began, 1e-9)
        left = (self.total - done) / rate if rate else 0
        line = f"{self.what} {done}/{self.total}  {rate:.1f}/s  {left / 60:.1f} min left  {note}"
        print(line, end="\r" if live else "\n", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if sys.stderr.isatty():
            print(file=sys.stderr)

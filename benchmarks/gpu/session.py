"""What every stage is told, and what it gives back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

AGAIN = 75  # a worker's exit code: the device's context is lost, start anew


@dataclass(frozen=True)
class Session:
    """until: seconds since 1970; ops, families: which, all if empty; mode: torch.compile's, for kernels; plans: the
    folder where plans are taken from if they are there, and made.
    """

    device: str
    out: Path
    until: float = float("inf")
    ops: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    rounds: int = 20
    mode: str = "default"
    plans: Path = Path("build/plans")

    @property
    def dry(self) -> bool:
        """No GPU: every stage at tiny shapes with what a CPU can run."""
        return self.device != "cuda"


class Row(NamedTuple):
    """line: for people; fields: for the journal."""

    line: str
    fields: dict[str, Any]


Item = tuple[str, Callable[[], Iterator[Row]]]  # its name, and what measures it

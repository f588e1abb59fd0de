"""The compiled runtime."""

from collections.abc import Mapping, Sequence
import os
from typing import Annotated, Any

import numpy
import numpy.typing
from numpy.typing import NDArray


def philox4x32_10(counter: Sequence[int], key: Sequence[int]) -> list[int]:
    """
    The four words that ten rounds of Philox 4x32 make of four counter words and two key words.
    """

def normal(seeds: Sequence[int], step: int, count: int, first: int = 0) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]:
    """
    Elements first to first + count - 1 of each seed's unit normal stream at a step: float32 (len(seeds), count).
    """

def isa() -> str:
    """The instruction set that plans run with on this CPU."""

def check_plan(data: bytes) -> None:
    """
    Raises PlanError unless a file of these bytes is a plan that may be run.
    """

def check_container(data: bytes) -> None:
    """
    Raises PlanError unless these bytes are a safetensors file as plans are.
    """

class Program:
    """
    A plan on a device, ready to run. Calls from several threads are served one after another.
    """

    def __init__(self, path: str | os.PathLike[str], *, device: str = 'auto', threads: int = 1, index: int = 0, driver: str = 'libcuda.so.1') -> None:
        """
        Opens a plan, checks all of it and prepares its kernels. device: cpu, cuda, or auto, the one it was compiled for; threads are of a CPU, index and driver of a GPU.
        """

    @property
    def metadata(self) -> str:
        """What the plan says of its model: JSON."""

    @property
    def certificate(self) -> str:
        """JSON, or nothing."""

    @property
    def adapters(self) -> str:
        """What of it can be replaced, as docs/plan.md says: JSON, or nothing."""

    @property
    def tensors(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """
        Those of the adapters, which set_tensors replaces: name to dtype and shape.
        """

    @property
    def device(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def batch(self) -> int:
        """Images of one run."""

    @property
    def counts(self) -> list[int]:
        """The step counts of the schedule; of a network, 1."""

    @property
    def inputs(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Name to dtype and shape."""

    @property
    def outputs(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Name to dtype and shape."""

    def file(self, name: str) -> bytes:
        """
        What the plan carries along under this name, such as a tokenizer: its bytes.
        """

    def describe(self) -> str:
        """The device, what it chose and what it counts: JSON."""

    def run(self, inputs: dict[str, numpy.typing.NDArray[Any]], steps: int = 1, outputs: Sequence[str] | None = None, *, first: int = 0) -> dict[str, numpy.typing.NDArray[Any]]:
        """
        Runs the plan: arrays of exactly the inputs' dtypes and shapes to those outputs that are asked for, or all. first: the step it begins with, of a plan that has the input "state".
        """

    def set_schedule(self, tau: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], coefficients: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], scales: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)]) -> None:
        """
        Replaces the rows of the schedule: float32 tau (rows,), coefficients (rows, 9 or 11), scales (rows, 2).
        """

    def set_tensors(self, tensors: Mapping[str, Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)]]) -> None:
        """
        Replaces tensors of the adapters, each by its bytes: all of them, or none. Runs before see the old ones.
        """

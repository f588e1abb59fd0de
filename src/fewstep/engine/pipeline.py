"""A model, ready: a request in, pictures out."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.bundle_manifest import Contract
from fewstep.engine.checks import refuse
from fewstep.engine.image import Images
from fewstep.engine.request import Label, Request, check_request, contract_schedule
from fewstep.engine.result import Result
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.engine.timings import Timings
from fewstep.errors import BackendError, InputError


class Progress(Protocol):
    """Told how many of n images are done."""

    def __call__(self, done: int, n: int, /) -> None: ...


class Backend(Protocol):
    """What runs a model. seeds: n; labels: (n, L) rows of the label tables; images: uint8 (n, H, W, 3)."""

    name: str
    device: str
    threads: int
    load_ms: float

    def run(
        self,
        seeds: Sequence[int],
        labels: NDArray[np.int64],
        schedule: Schedule | GuidedSchedule,
        progress: Progress | None = None,
    ) -> tuple[Images, Timings]: ...


@dataclass(frozen=True)
class Pipeline:
    """Made by fewstep.load.

    1. Calls are independent of each other and may come from several threads.
    2. It works in the process that made it: the threads of a session do not survive a fork, nor does pickle carry them.
    """

    manifest: Contract
    backend: Backend
    _process: int = field(default_factory=os.getpid, init=False, repr=False, compare=False)

    def __call__(
        self,
        prompt: str | None = None,
        *,
        label: Label | Sequence[Label] | None = None,
        n: int | None = None,
        steps: int | None = None,
        seed: int | Sequence[int] | None = None,
        progress: Progress | None = None,
    ) -> Result:
        """Make n pictures.

        prompt: words of the model's vocabulary, "green critter on purple"; unknown ones are in the result.
        label: a value's name, "planets"; or {"class": "critters", "color": "green"}; or a list of n of these. What is
        not asked for is drawn from each image's seed.
        n: 1 to 1024, by default 1 or the length of a list of labels or seeds.
        steps: one of the counts the model was distilled for, by default the model's own.
        seed: an int in [0, 2^64), image i then has (seed + i) mod 2^64; a list of n; or None for random ones.

        An image is the same bytes for its labels, seed and steps whatever n and its neighbours are. Raises InputError
        or ContractError before anything runs, BackendError if the run fails.
        """
        if os.getpid() != self._process:
            raise BackendError("this pipeline was made before a fork; call fewstep.load in this process")
        if progress is not None and not callable(progress):
            raise refuse("progress", "a function of the images done and n", progress)
        start = time.perf_counter()
        request = check_request(self.manifest, prompt, label, n, steps, seed)
        labels = self._rows(request)
        prompt_ms = (time.perf_counter() - start) * 1e3
        images, timings = self.backend.run(
            request.seeds, labels, contract_schedule(self.manifest, request.steps), progress
        )
        timings = replace(timings, prompt=timings.prompt + prompt_ms, total=(time.perf_counter() - start) * 1e3)
        return Result(
            images,
            request.seeds,
            request.labels,
            request.steps,
            self.manifest.name,
            self.manifest.schedule.name,
            timings,
            request.unknown_words,
        )

    def __reduce__(self) -> NoReturn:
        raise InputError(
            "a pipeline cannot be copied or pickled; share this one, or call fewstep.load where it is needed"
        )

    def _rows(self, request: Request) -> NDArray[np.int64]:
        tables = self.manifest.labels
        rows = [[table.values.index(labels[table.name]) for table in tables] for labels in request.labels]
        return np.array(rows, np.int64).reshape(len(rows), len(tables))

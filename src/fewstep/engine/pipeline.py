"""A model, ready: a request in, pictures out."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.bundle_manifest import LABELS, NULL, Contract
from fewstep.engine.checks import choice, refuse
from fewstep.engine.edit import Floats, Picture
from fewstep.engine.image import Images
from fewstep.engine.job import Job
from fewstep.engine.request import Label, Prompt, Request, Steps, check_request, contract_schedule
from fewstep.engine.request_start import start_of
from fewstep.engine.result import Result
from fewstep.engine.text import Texts
from fewstep.engine.timings import Timings
from fewstep.engine.torch_noise import RNGS
from fewstep.errors import BackendError, InputError


class Progress(Protocol):
    """Told how many of n images are done."""

    def __call__(self, done: int, n: int, /) -> None: ...


class Backend(Protocol):
    """What runs a model. images: uint8 (n, H, W, 3)."""

    name: str
    device: str
    threads: int
    load_ms: float

    @property
    def state(self) -> tuple[int, ...]:
        """The shape of one image's state."""

    def encode(self, pixels: Floats) -> tuple[Floats, Floats | None]:
        """Pictures as states; see request_start.Encoder."""

    def run(self, job: Job, progress: Progress | None = None) -> tuple[Images, Timings]: ...


class Loras(Protocol):
    """The LoRAs of a loaded model."""

    def set(self, loras: Sequence[tuple[str, float]]) -> None: ...


@dataclass(frozen=True)
class Pipeline:
    """Made by fewstep.load.

    1. Calls are independent of each other and may come from several threads.
    2. It works in the process that made it: the threads of a session do not survive a fork, nor does pickle carry them.
    """

    manifest: Contract
    backend: Backend
    texts: Texts | None = None
    loras: Loras | None = None
    _process: int = field(default_factory=os.getpid, init=False, repr=False, compare=False)

    def __call__(
        self,
        prompt: Prompt | None = None,
        *,
        label: Label | Sequence[Label] | None = None,
        n: int | None = None,
        steps: Steps = None,
        seed: int | Sequence[int] | None = None,
        guidance: float | None = None,
        negative_prompt: Prompt | None = None,
        rng: str = "fewstep",
        force: bool = False,
        image: Picture | Sequence[Picture] | None = None,
        strength: float | None = None,
        mask: Picture | None = None,
        seed_to: int | Sequence[int] | None = None,
        mix: float | Sequence[float] | None = None,
        progress: Progress | None = None,
    ) -> Result:
        """Make n pictures.

        prompt: of a model that reads text, any text or a list of n. Of one with a vocabulary its words, "green critter
        on purple"; unknown ones are in the result.
        label: a value's name, "planets"; or {"class": "critters", "color": "green"}; or a list of n of these. What is
        not asked for is drawn from each image's seed.
        n: 1 to 1024, by default 1 or the length of a list of prompts, labels or seeds.
        steps: one of the counts the model was distilled for, by default the model's own; or a list of n.
        seed: an int in [0, 2^64), image i then has (seed + i) mod 2^64; a list of n; or None for random ones.
        guidance: of a model that takes it as an input, or runs its network twice a step, by default the model's own.
        negative_prompt: of one that runs twice a step and reads text, what to lead pictures away from; or a list of n.
        rng: "fewstep", or "torch" for the numbers that diffusers draws on a CPU with torch.Generator and a seed.
        force: run steps and guidance the model was not distilled for; the result says which.
        image: a picture of the model's size to change: a file's name, a Pillow image or uint8 (H, W, 3); or n of them.
        strength: in (0, 1], about the share of the steps that run on it: 1 keeps next to nothing.
        mask: of the image, white where it is made anew, by default at strength 1; the rest is kept. A file's name, a
        Pillow image or an array (H, W) of uint8 or bool.
        seed_to, mix: the first noise lies between seed's and that of seed_to, given as seed is, on their arc: at 0 it
        is seed's, at 1 the other's. mix: a number or a list of n.

        An image is the same bytes for its labels, seed and steps whatever n and its neighbours are. Raises InputError
        or ContractError before anything runs, BackendError if the run fails.
        """
        if os.getpid() != self._process:
            raise BackendError("this pipeline was made before a fork; call fewstep.load in this process")
        if progress is not None and not callable(progress):
            raise refuse("progress", "a function of the images done and n", progress)
        start = time.perf_counter()
        choice("rng", rng, RNGS)
        request = check_request(
            self.manifest, prompt, label, n, steps, seed, guidance, force, image, strength, mask, seed_to, mix,
            negative_prompt,
        )  # fmt: skip
        inputs, cut = self._inputs(request)
        prompt_ms = (time.perf_counter() - start) * 1e3
        images, timings = self._run(request, inputs, rng, progress)
        timings = replace(timings, prompt=timings.prompt + prompt_ms, total=(time.perf_counter() - start) * 1e3)
        return Result(
            images,
            request.seeds,
            request.labels,
            request.steps[0] if len({*request.steps}) == 1 else request.steps,
            self.manifest.name,
            self.manifest.schedule.name,
            timings,
            request.unknown_words,
            request.prompts,
            request.guidance,
            request.forced,
            cut,
            None if request.edit is None else request.edit.strength,
            request.edit is not None and request.edit.mask is not None,
            request.seeds_to,
            request.mix,
        )

    def set_loras(self, loras: Sequence[tuple[str, float]]) -> None:
        """Of a plan compiled with --lora-rank: LoRA files, each with its strength, in the place of those before.

        None of them: the model as it was compiled. All or nothing: raises InputError, and changes nothing, for a file
        that does not fit. Pictures that are being made end with the LoRAs they began with.
        """
        if self.loras is None:
            raise InputError(
                f"set_loras: expected a plan that leaves updates open, got a model that {self.backend.name} runs; "
                "compile one with `fewstep compile MODEL -o FILE.fsp --lora-rank 64`, or give a checkpoint its LoRAs "
                "when it is loaded"
            )
        self.loras.set(loras)

    def __reduce__(self) -> NoReturn:
        raise InputError(
            "a pipeline cannot be copied or pickled; share this one, or call fewstep.load where it is needed"
        )

    def _run(
        self, request: Request, inputs: Mapping[str, NDArray[Any]], rng: str, progress: Progress | None
    ) -> tuple[Images, Timings]:
        """Images of one step count after the other's, each in its place."""
        n, image = len(request.seeds), self.manifest.image
        images = np.empty((n, image.height, image.width, image.channels), np.uint8)
        spent, done = Timings(), 0
        for count in dict.fromkeys(request.steps):
            rows = [i for i, steps in enumerate(request.steps) if steps == count]
            schedule = contract_schedule(self.manifest, count, request.guidance)
            seeds = [request.seeds[i] for i in rows]
            begun = start_of(request, rows, schedule, self.manifest, self.backend, rng)
            told = None if progress is None else _shifted(progress, done, n)
            given = {name: values[rows] for name, values in inputs.items()}
            images[rows], timings = self.backend.run(Job(seeds, given, schedule, begun), told)
            spent, done = spent + timings, done + len(rows)
        return images, spent

    def _inputs(self, request: Request) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
        """What the request brings, (n, ...) by name, with guidance twice, and what was cut off its prompts."""
        n, cut = len(request.seeds), tuple[str, ...]()
        inputs: dict[str, NDArray[Any]] = {}
        if self.texts is not None:
            tokens, cut = self.texts.encode(request.prompts)
            inputs |= tokens
        if self.manifest.embedded_guidance is not None:
            inputs[self.manifest.embedded_guidance.input] = np.full(n, request.guidance, np.float32)
        if self.manifest.labels:
            inputs[LABELS] = self._rows(request)
        if self.manifest.schedule.is_guided:
            others, more = self._null_inputs(request)
            inputs |= {f"{NULL}{name}": values for name, values in others.items()}
            cut += more
        return inputs, cut

    def _null_inputs(self, request: Request) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
        """Of the output that guidance leads away from: negative prompts, and the rows of no label."""
        inputs, cut = dict[str, NDArray[Any]](), tuple[str, ...]()
        if self.texts is not None:
            tokens, cut = self.texts.encode(request.negatives)
            inputs |= tokens
        if self.manifest.labels:
            inputs[LABELS] = np.array([[table.null for table in self.manifest.labels]] * len(request.seeds), np.int64)
        return inputs, tuple(f"negative {warning}" for warning in cut)

    def _rows(self, request: Request) -> NDArray[np.int64]:
        tables = self.manifest.labels
        rows = [[table.values.index(labels[table.name]) for table in tables] for labels in request.labels]
        return np.array(rows, np.int64).reshape(len(rows), len(tables))


def _shifted(progress: Progress, before: int, n: int) -> Progress:
    """Tells of images made after `before` others, of n."""
    return lambda done, _: progress(before + done, n)

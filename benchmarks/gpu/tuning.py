"""The fastest settings of every kernel at every shape: OUT/tuned/sm_XX.json."""

import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.kernel_table import by_turns, chosen
from benchmarks.gpu.session import Item, Row, Session
from fewstep.errors import InputError
from fewstep.kernels.launch import architecture
from fewstep.kernels.tuned import FOLDER
from fewstep.kernels.tuner import tune, write
from fewstep.profile.accuracy import Truth, outputs, truth
from fewstep.profile.case import Case, tensors
from fewstep.profile.machine import cache_bytes, gpu, version
from fewstep.profile.timing import flushed, spread, wall

MEASUREMENTS = 9
DRY_CONFIG = {"num_warps": 8}


def tuning(session: Session) -> Iterator[Item]:
    for case in list(by_turns(chosen(session)))[: 1 if session.dry else None]:
        yield case.name, partial(_measure, session, case)


def _measure(session: Session, case: Case) -> Iterator[Row]:
    for dtype in (torch.float32,) if session.dry else case.dtypes:
        inputs = case.make(session.device, dtype, 0)
        with torch.inference_mode():
            agrees = Agreement(truth(case.reference, inputs))
            try:
                found = tune(case.launches, inputs, agrees, _clock(session), [DRY_CONFIG] if session.dry else None)
            except InputError as refusal:
                yield Row(f"not tuned: {refusal}", {"refused": str(refusal)})
                continue
        arch = architecture(tensors(inputs)[0])
        path = write([found], arch, _measured(session), _folder(session, arch))
        gain = found.own_seconds / found.seconds
        line = f"{found.key}: {found.seconds * 1e6:.1f} us, {gain:.2f}x its own choice, {found.timed} timed"
        yield Row(f"{line}, {len(found.refused)} refused: {found.config}", {"found": vars(found), "file": path.name})


class Agreement:
    """Outputs are right if they are as good as PyTorch's, or, where there is no one truth, if they are the first's."""

    def __init__(self, exact: Truth | None) -> None:
        self._exact, self._first = exact, list[torch.Tensor]()

    def __call__(self, result: Any) -> bool:
        found = outputs(result)
        if self._exact is not None:
            return self._exact.accepts(self._exact.error(found))
        self._first = self._first or [x.clone() for x in found]
        return all(torch.equal(x, y) for x, y in zip(found, self._first, strict=True))


def _clock(session: Session) -> Callable[[Callable[[], None]], float]:
    def seconds(run: Callable[[], None]) -> float:
        measure = wall(lambda _: run()) if session.dry else flushed(run, cache_bytes(session.device))
        return spread([measure() for _ in range(1 if session.dry else MEASUREMENTS)]).p50

    return seconds


def _measured(session: Session) -> dict[str, str]:
    name = "none" if session.dry else str(gpu()["name"])
    versions = {package: version(package) or "" for package in ("torch", "triton")}
    return {"device": name, **versions, "date": time.strftime("%Y-%m-%d", time.gmtime())}


def _folder(session: Session, arch: int) -> Path:
    """Begun as a copy of what is known already, so that it can take that file's place."""
    folder, name = session.out / "tuned", f"sm_{arch}.json"
    if not (folder / name).exists() and (FOLDER / name).exists() and not session.dry:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(FOLDER / name, folder / name)
    return folder

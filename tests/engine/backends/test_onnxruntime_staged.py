"""A bundle with stages makes the pictures of the same bundle without them, and computes nothing twice."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from small_bundle import LABELS as TABLES
from small_bundle import SIDE, TRIGFLOW, write_bundle
from staged_bundle import add_stages_to

from fewstep.api import open_model
from fewstep.engine.backends import lanes
from fewstep.engine.backends.network import Network
from fewstep.engine.backends.onnxruntime import OnnxRuntimeBackend
from fewstep.engine.bundle import Bundle
from fewstep.engine.job import Job
from fewstep.engine.request import contract_schedule
from fewstep.engine.schedule import GuidedSchedule, Schedule, schedule
from fewstep.errors import BackendError

NULL = [len(values) for _, values in TABLES]
SEEDS, LABELS = [7, 2**64 - 1, 0], np.array([[0, 1, 2], [2, 2, 3], [1, 0, 0]])
LATENT = 5e-6  # of the rms latent: float32 rounding of one network call, seen through four steps
Runs = list[tuple[str, int]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(write_bundle(tmp_path_factory.mktemp("whole") / "small"))


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(add_stages_to(write_bundle(tmp_path_factory.mktemp("staged") / "small")))


def table(steps: int, guidance: float | None = None) -> Schedule | GuidedSchedule:
    plain = schedule("trigflow", steps, **TRIGFLOW[str(steps)])
    return plain if guidance is None else plain.guided(guidance)


def given(labels: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """With what a guided schedule takes beside them."""
    return {"labels": labels, "null_labels": np.array([NULL] * len(labels))}


def latents(bundle: Bundle, plan: Schedule | GuidedSchedule) -> NDArray[np.float32]:
    """What the loop leaves for one seed."""
    return OnnxRuntimeBackend(bundle, threads=1).latents(Job(SEEDS[:1], given(LABELS[:1]), plan))


@pytest.mark.parametrize("guidance", [None, 2.0], ids=["plain", "guided"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_staged_pictures_are_the_whole_network_s(
    whole: Bundle, staged: Bundle, steps: int, guidance: float | None
) -> None:
    plan = table(steps, guidance)
    before, after = OnnxRuntimeBackend(whole, threads=2), OnnxRuntimeBackend(staged, threads=2)
    assert after.staged and not before.staged
    expected, found = (b.run(Job(SEEDS, given(LABELS), plan))[0] for b in (before, after))
    assert np.abs(found.astype(int) - expected).max() <= 1
    error = latents(staged, plan) - latents(whole, plan)
    assert np.abs(error).max() <= LATENT * np.sqrt(np.mean(latents(whole, plan) ** 2))


@pytest.mark.parametrize("guidance", [None, 2.0], ids=["plain", "guided"])
def test_a_picture_s_bytes_depend_on_nothing_around_it(staged: Bundle, guidance: float | None) -> None:
    plan, backend = table(4, guidance), OnnxRuntimeBackend(staged, threads=3)
    together = backend.run(Job(SEEDS, given(LABELS), plan))[0]
    backend.run(Job(SEEDS, given(LABELS[::-1]), table(2, guidance)))
    for image, seed, row in zip(together, SEEDS, LABELS, strict=True):
        assert np.array_equal(backend.run(Job([seed], given(row[None]), plan))[0][0], image)


def test_the_shipped_model_in_stages_is_the_whole_one() -> None:
    bundle = open_model("toons16")
    plan = contract_schedule(bundle.manifest, 4)
    component = replace(bundle.manifest.components["denoiser"], stages={})
    without = replace(bundle, manifest=replace(bundle.manifest, components={"denoiser": component}))
    found, expected = OnnxRuntimeBackend(bundle, threads=1), OnnxRuntimeBackend(without, threads=1)
    assert found.staged and not expected.staged
    images = [backend.run(Job(SEEDS, given(LABELS), plan))[0].astype(int) for backend in (found, expected)]
    assert np.abs(images[0] - images[1]).max() <= 1


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    """(stage, rows) of every session's run, in order."""
    seen: Runs = []
    bind, run, tables = Network.bind, Network.run, Network.tables

    def seen_bind(self: Network, part: str, values: dict[str, NDArray[Any]]) -> ort.IOBinding:
        binding = bind(self, part, values)
        binding.rows = len(values[self.parts[part].outputs[0].name])
        return binding

    def seen_run(self: Network, part: str, binding: ort.IOBinding, where: str) -> None:
        seen.append((part, binding.rows))
        run(self, part, binding, where)

    def seen_tables(self: Network, tau: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        seen.append(("tables", len(tau)))
        return tables(self, tau)

    for name, seen_one in (("bind", seen_bind), ("run", seen_run), ("tables", seen_tables)):
        monkeypatch.setattr(Network, name, seen_one)
    return seen


@pytest.mark.parametrize("guided", [False, True])
def test_each_stage_runs_once_for_all_steps(staged: Bundle, runs: Runs, guided: bool) -> None:
    backend, B = OnnxRuntimeBackend(staged, threads=1), 1 + guided
    plan = table(4, 2.0 if guided else None)
    picture = [("prompt", B), ("modulation", 4 * B), *[("step", B)] * 4]
    backend.run(Job(SEEDS[:2], given(LABELS[:2]), plan))
    assert runs == [("tables", 4), *picture, *picture]


def test_tables_are_kept_for_the_schedules_used_last(staged: Bundle, runs: Runs) -> None:
    backend = OnnxRuntimeBackend(staged, threads=1)
    plans = [schedule("trigflow", 1, times=[1.5 - i / 100]) for i in range(lanes.MOST + 1)]

    def made(plan: Schedule) -> bool:
        runs.clear()
        backend.run(Job(SEEDS[:1], given(LABELS[:1]), plan))
        return ("tables", 1) in runs

    assert all(made(plan) for plan in plans)
    assert not any(made(plan) for plan in plans[1:])
    assert made(plans[0])


def test_changing_the_steps_takes_milliseconds() -> None:
    """CPU time, so that a busy machine does not count."""
    bundle = open_model("toons16")
    network = Network(bundle, "denoiser", "cpu", 1)
    spent = []
    for i in range(5):
        plan = schedule("trigflow", 4, times=[1.5, 1.2, 1.0, 0.7 - i / 100])
        start = time.thread_time()
        lanes.Lanes(network, bundle.manifest).take(plan)
        spent.append(time.thread_time() - start)
    assert min(spent) < 0.02


def test_threads_that_change_the_schedule_under_each_other(staged: Bundle) -> None:
    backend = OnnxRuntimeBackend(staged, threads=2)
    plans = [table(steps, guidance) for steps in (1, 2, 4) for guidance in (None, 2.0)]
    expected = [backend.run(Job(SEEDS, given(LABELS), plan))[0] for plan in plans]
    wrong: list[int] = []

    def work(first: int) -> None:
        for k in range(18):
            i = (first + k) % len(plans)
            if not np.array_equal(backend.run(Job(SEEDS, given(LABELS), plans[i]))[0], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_failing_stage_is_named_and_the_backend_lives_on(staged: Bundle) -> None:
    backend = OnnxRuntimeBackend(staged, threads=1)
    beyond = np.array([[99, 0, 0]])  # no row of the first label's table
    with pytest.raises(BackendError, match="onnxruntime failed in the stage prompt: "):
        backend.run(Job([1], {"labels": beyond}, table(2)))
    assert backend.run(Job([1], given(LABELS[:1]), table(2)))[0].shape == (1, SIDE, SIDE, 3)


def test_numbers_that_overflow_in_a_stage_are_an_error(tmp_path: Path) -> None:
    backend = OnnxRuntimeBackend(Bundle.open(add_stages_to(write_bundle(tmp_path, overflow=True))), threads=2)
    with pytest.raises(BackendError, match="returned NaN or Inf at step 1 of 2"):
        backend.run(Job(SEEDS, given(LABELS), table(2)))


def test_a_lane_s_time_is_told_by_stage(staged: Bundle) -> None:
    _, timings = OnnxRuntimeBackend(staged, threads=1).run(Job(SEEDS, given(LABELS), table(2)))
    assert timings.prompt > 0 and len(timings.denoise) == 2 and timings.decode > 0

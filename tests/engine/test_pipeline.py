import copy
import os
import pickle
import signal
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_bundle import BACKGROUNDS, COLORS, SUBJECTS, write_bundle

from fewstep.api import load
from fewstep.engine.pipeline import Pipeline
from fewstep.engine.request import Label
from fewstep.errors import BackendError, ContractError, InputError

SEEDS = st.integers(0, 2**64 - 1)
FULL = st.fixed_dictionaries(
    {"class": st.sampled_from(SUBJECTS), "background": st.sampled_from(BACKGROUNDS), "color": st.sampled_from(COLORS)}
)
LABELS: st.SearchStrategy[Label] = st.one_of(FULL, st.sampled_from(["planets", "navy", {"class": "critters"}, {}]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "small")


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Pipeline:
    return load(folder, threads=3)


@pytest.fixture(scope="module")
def guided(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    steps = {"2": {"times": [1.5, 0.9]}}
    contract = {"name": "trigflow", "default_steps": 2, "guidance": 1.5, "steps": steps}
    return load(write_bundle(tmp_path_factory.mktemp("bundle") / "guided", schedule=contract), threads=2)


@given(st.data(), st.lists(st.tuples(SEEDS, LABELS), min_size=1, max_size=9), st.sampled_from([1, 2, 4]))
def test_an_image_depends_on_its_labels_seed_and_steps_alone(
    pipe: Pipeline, data: st.DataObject, wanted: list[tuple[int, Label]], steps: int
) -> None:
    """The same bytes whatever the batch size, the neighbours and the order."""
    seeds, labels = [seed for seed, _ in wanted], [label for _, label in wanted]
    together = pipe(label=labels, seed=seeds, steps=steps)
    order = data.draw(st.permutations(range(len(wanted))))
    shuffled = pipe(label=[labels[i] for i in order], seed=[seeds[i] for i in order], steps=steps)
    alone = data.draw(st.sampled_from(range(len(wanted))))
    single = pipe(label=labels[alone], seed=seeds[alone], steps=steps)
    assert np.array_equal(shuffled.images, together.images[list(order)])
    assert np.array_equal(single.images[0], together.images[alone])
    assert single.labels[0] == together.labels[alone] == shuffled.labels[order.index(alone)]


def test_threads_and_guidance_keep_it_so(folder: Path, pipe: Pipeline, guided: Pipeline) -> None:
    one = load(folder, threads=1)
    assert np.array_equal(one(n=5, seed=3).images, pipe(n=5, seed=3).images)
    together = guided(n=5, seed=3)
    assert np.array_equal(guided(seed=6).images[0], together.images[3])
    assert not np.array_equal(together.images, pipe(n=5, seed=3).images)


def test_different_seeds_labels_and_steps_make_different_images(pipe: Pipeline) -> None:
    base = pipe(label={"class": "critters", "background": "navy", "color": "red"}, seed=1, steps=2)
    for label in ({"class": "planets"}, {"background": "green"}, {"color": "teal"}):
        other = pipe(label=base.labels[0] | label, seed=1, steps=2)
        assert not np.array_equal(other.images, base.images)
    assert not np.array_equal(pipe(label=base.labels[0], seed=2, steps=2).images, base.images)
    assert not np.array_equal(pipe(label=base.labels[0], seed=1, steps=1).images, base.images)


def test_calls_from_several_threads(pipe: Pipeline) -> None:
    expected = pipe(n=4, seed=9).images
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(pipe(n=4, seed=9).images)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(np.array_equal(images, expected) for images in found)


def test_a_fork_is_told_to_load_again(folder: Path, pipe: Pipeline, tmp_path: Path) -> None:
    """The threads of a session are not in the child: without a check it waits for them forever."""
    expected = pipe(n=2, seed=1).images.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks with threads, which is the point
        child = os.fork()
    if child == 0:
        signal.alarm(30)
        try:
            pipe(n=2, seed=1)
        except BackendError as error:
            (tmp_path / "said").write_text(str(error))
            (tmp_path / "made").write_bytes(load(folder)(n=2, seed=1).images.tobytes())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert "made before a fork; call fewstep.load" in (tmp_path / "said").read_text()
    assert (tmp_path / "made").read_bytes() == expected


@pytest.mark.parametrize("carry", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda carry: carry.__name__)
def test_a_pipeline_is_not_carried(pipe: Pipeline, carry: Callable[[Pipeline], object]) -> None:
    with pytest.raises(InputError, match="a pipeline cannot be copied or pickled; share this one"):
        carry(pipe)


def test_a_result_is_carried(pipe: Pipeline) -> None:
    r = pipe("planets", n=2, seed=1)
    for again in (pickle.loads(pickle.dumps(r)), copy.deepcopy(r)):
        assert np.array_equal(again.images, r.images) and again.timings == r.timings
        assert (again.seeds, again.labels, again.steps) == (r.seeds, r.labels, r.steps)


def test_progress_is_a_function_and_its_errors_are_its_own(pipe: Pipeline) -> None:
    with pytest.raises(InputError, match="progress: expected a function"):
        pipe(progress=3)  # type: ignore[arg-type]

    def stop(done: int, n: int) -> None:
        raise KeyError(done)

    with pytest.raises(KeyError):
        pipe(n=4, progress=stop)
    assert pipe(n=4, seed=1).images.shape[0] == 4


def test_the_result_says_how_it_was_made(pipe: Pipeline) -> None:
    r = pipe("sparkly green critter on purple", n=2, steps=4, seed=2**64 - 1)
    assert r.images.shape == (2, 8, 8, 3) and r.images.dtype == np.uint8
    assert r.seeds == (2**64 - 1, 0) and r.steps == 4 and r.model == "small" and r.schedule == "trigflow"
    assert r.labels == ({"class": "critters", "background": "purple", "color": "green"},) * 2
    assert r.unknown_words == ("sparkly",)
    assert [image.size for image in r.pil()] == [(8, 8), (8, 8)]
    stages = r.timings.as_dict()
    assert set(stages) == {"load", "prompt", "denoise", "decode", "encode", "total"} and len(r.timings.denoise) == 4
    assert r.timings.total >= r.timings.prompt + r.timings.decode and r.timings.encode == 0


def test_defaults(pipe: Pipeline) -> None:
    first, second = pipe(), pipe()
    assert first.images.shape[0] == 1 and first.steps == 2 and first.seeds != second.seeds
    again = pipe(seed=first.seeds[0])
    assert again.labels == first.labels and np.array_equal(again.images, first.images)


def test_each_image_can_have_its_own_steps(pipe: Pipeline, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = pipe(label="planets", seed=[5, 6, 7], steps=[4, 1, 4], progress=lambda done, n: seen.append((done, n)))
    assert result.steps == (4, 1, 4) and seen == [(1, 3), (2, 3), (3, 3)] and len(result.timings.denoise) == 4
    for image, seed, steps in zip(result.images, result.seeds, (4, 1, 4), strict=True):
        assert np.array_equal(pipe(label="planets", seed=seed, steps=steps).images[0], image)
    first, second, _ = result.save(tmp_path / "a.png")
    assert Image.open(first).text["steps"] == "4" and Image.open(second).text["steps"] == "1"  # type: ignore[attr-defined]
    (sheet,) = result.save(tmp_path / "sheet.png", "sheet")
    assert Image.open(sheet).text["steps"] == "[4, 1, 4]"  # type: ignore[attr-defined]
    assert pipe(seed=[1, 2], steps=[2, 2]).steps == 2
    with pytest.raises(InputError, match="steps: expected 2 counts, one a picture, got 3"):
        pipe(n=2, steps=[1, 2, 4])
    with pytest.raises(ContractError, match="was distilled for 1, 2, 4 steps, got 3"):
        pipe(steps=[1, 3])
    forced = pipe(seed=1, steps=[1, 3, 3], n=3, label="planets", force=True)
    assert forced.steps == (1, 3, 3) and len(forced.forced) == 1

"""Weights that are too large to be copied: read where they lie, and as strictly checked."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from forged_bundle import GRAPH, LICENSE, WEIGHTS, Forgery, weights
from numpy.typing import NDArray

import fewstep
from fewstep.engine.backends import session
from fewstep.engine.bundle import Bundle
from fewstep.engine.pipeline import Pipeline
from fewstep.errors import BundleError

SHIPPED = Path(fewstep.__file__).parent / "models" / "toons16"


@pytest.fixture(autouse=True)
def all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewstep.engine.bundle.MAPPED", 1)
    monkeypatch.setattr(session, "KEPT", 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Forgery().write(tmp_path / "forged")


def made(pipe: Pipeline) -> NDArray[np.int64]:
    return pipe(n=2, steps=2, seed=7).images.astype(np.int64)


def test_weights_alone_are_mapped(folder: Path) -> None:
    bundle = Bundle.open(folder)
    assert bundle.files.keys() == {GRAPH, LICENSE} and bundle.mapped.keys() == {WEIGHTS}
    assert bundle.mapped[WEIGHTS][:] == weights()
    ((name, data),) = bundle.session_inputs("denoiser")[1]
    assert name == WEIGHTS and data is bundle.mapped[WEIGHTS]
    with pytest.raises(TypeError):
        bundle.mapped[WEIGHTS][0] = 1


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def changed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def linked(path: Path) -> None:
    path.rename(path.with_name("other"))
    path.symlink_to("other")


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (cut, "expected [0-9]+ bytes, got"),
        (changed, "expected SHA-256"),
        (linked, "it is a symbolic link"),
        (lambda path: os.link(path, path.with_name("other")), "2 hard links"),
    ],
    ids=["cut", "changed", "link", "hard link"],
)
def test_damage_is_refused(folder: Path, damage: Callable[[Path], None], cause: str) -> None:
    damage(folder / WEIGHTS)
    with pytest.raises(BundleError, match=f"{WEIGHTS}: .*{cause}"):
        Bundle.open(folder)


def test_what_takes_the_files_place_is_not_seen(folder: Path) -> None:
    bundle = Bundle.open(folder)
    shutil.rmtree(folder)
    Forgery(files={WEIGHTS: b"others"}).write(folder)
    bundle.check_unchanged()
    assert bundle.mapped[WEIGHTS][:] == weights()


@pytest.mark.parametrize("whence", [os.SEEK_SET, os.SEEK_END], ids=["within", "behind"])
def test_what_is_written_into_the_file_is_told(tmp_path: Path, whence: int) -> None:
    folder = shutil.copytree(SHIPPED, tmp_path / "toons16")
    pipe = fewstep.load(folder, threads=1)
    made(pipe)
    with open(folder / "denoiser.safetensors", "r+b") as file:
        file.seek(0, whence)
        file.write(b"1")
    with pytest.raises(BundleError, match=r"denoiser\.safetensors: was changed since it was checked; load the bundle"):
        made(pipe)


def test_weights_that_are_handed_over_make_the_same_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    handed = made(fewstep.load("toons16", threads=1))
    monkeypatch.setattr(session, "KEPT", 1 << 40)
    folded = made(fewstep.load("toons16", threads=1))
    monkeypatch.setattr("fewstep.engine.bundle.MAPPED", 1 << 40)
    assert np.array_equal(made(fewstep.load("toons16", threads=1)), folded)
    assert np.abs(handed - folded).max() <= 1


def test_weights_of_types_that_are_not_handed_over_are_refused(tmp_path: Path) -> None:
    def as_integers(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].data_type = onnx.TensorProto.INT16

    forgery = Forgery().graph(as_integers)
    forgery.files[WEIGHTS] = weights().replace(b'"F16"', b'"I16"')
    bundle = Bundle.open(forgery.write(tmp_path / "forged"))
    with pytest.raises(BundleError, match=r"denoiser\.onnx: weight: expected .*float32 or float16, got type 5"):
        session.open_session(bundle, "denoiser", "cpu", 1)

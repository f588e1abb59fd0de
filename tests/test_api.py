from pathlib import Path

import numpy as np
import pytest
from small_bundle import write_bundle

from fewstep import api
from fewstep.api import load
from fewstep.errors import BundleError, InputError, UnknownModelError


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that ships the small bundle as "small"."""
    folder = write_bundle(tmp_path / "models" / "small")
    monkeypatch.setattr(api, "shipped_models", lambda: {"small": folder})
    return folder


def test_a_name_and_a_folder_load_the_same_model(shipped: Path) -> None:
    by_name, by_folder, by_text = load("small"), load(shipped), load(str(shipped))
    assert np.array_equal(by_name(seed=1).images, by_folder(seed=1).images)
    assert by_text.manifest.name == "small" and by_name.backend.device == "cpu"


def test_a_shipped_name_wins_over_a_folder_of_that_name(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").mkdir()
    assert load("small").manifest.name == "small"
    with pytest.raises(UnknownModelError, match="is no bundle"):
        load("./small")


def test_installers_may_hard_link_a_shipped_model(shipped: Path, tmp_path: Path) -> None:
    (tmp_path / "again").hardlink_to(shipped / "denoiser.onnx")
    assert load("small").manifest.name == "small"
    with pytest.raises(BundleError, match=r"denoiser\.onnx"):
        load(shipped)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("smal", r"unknown model 'smal', did you mean small\? Shipped models: small"),
        ("sdxl", r"unknown model 'sdxl'\. Shipped models: small; or give a bundle's folder"),
        ("no/such/folder", "unknown model 'no/such/folder'"),
        ("x" * 5000, "unknown model 'xxx"),
        ("weights.safetensors", r"is a checkpoint, not a bundle; run `fewstep export"),
        ("model.ckpt", r"is a checkpoint, not a bundle"),
        ("my model.pt", r"run `fewstep export 'my model\.pt' -o FOLDER` and load FOLDER"),
        ("\x1b[31m.pt", r"'\\x1b\[31m\.pt' is a checkpoint.*run `fewstep export CHECKPOINT -o FOLDER`"),
        (f"{'x' * 5000}.pt", r"'xxx.{1,250}' is a checkpoint"),
    ],
)
def test_unknown_models(shipped: Path, model: str, message: str) -> None:
    with pytest.raises(UnknownModelError, match=message):
        load(model)


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_behind_a_link_is_named(shipped: Path, tmp_path: Path, slash: str) -> None:
    (tmp_path / "link").symlink_to(shipped)
    with pytest.raises(BundleError, match=r"link.* is a symbolic link; give the folder it leads to"):
        load(f"{tmp_path}/link{slash}")


def test_folders_that_are_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"is no bundle: it has no bundle\.json"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UnknownModelError, match="is a checkpoint"):
        load(tmp_path)


@pytest.mark.parametrize("model", [None, 7, "", b"small", ["small"], "a\0b"])
def test_what_is_no_name(model: object) -> None:
    with pytest.raises(InputError, match="model: expected the name of a model or a folder"):
        load(model)  # type: ignore[arg-type]


def test_other_arguments(shipped: Path) -> None:
    with pytest.raises(InputError, match="backend: expected one of auto, native, onnxruntime, torch, got 'jax'"):
        load("small", backend="jax")
    with pytest.raises(InputError, match="device: expected one of auto, cpu, cuda, got 'tpu'"):
        load("small", device="tpu")
    with pytest.raises(InputError, match="threads: expected an integer"):
        load("small", threads=0)
    assert load("small", backend="onnxruntime", device="cpu", threads=2).backend.threads == 2


def test_the_package_s_own_models_are_bundles() -> None:
    for name in api.shipped_models():
        assert api.open_model(name).manifest.name == name

"""The yardstick: exact distances between Gaussians, bundles that lie about theirs, and the shipped model's promise."""

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from fewstep.api import load, open_model
from fewstep.engine.bundle import Bundle
from fewstep.errors import BundleError, InputError
from fewstep.evaluation import FILE, Gaussian, Yardstick, _row, evaluate, frechet

GENERATOR = np.random.default_rng(0)


def gaussian(mean: list[float], deviations: list[float], rotation: Any = None) -> Gaussian:
    R = np.eye(len(mean)) if rotation is None else rotation
    return Gaussian(R @ np.array(mean), R @ np.diag(np.square(deviations)) @ R.T)


def test_frechet_of_aligned_gaussians_is_the_distance_of_means_and_deviations() -> None:
    p, q = gaussian([0, 0, 1], [1, 2, 0.5]), gaussian([3, 4, 1], [1, 1, 2])
    assert frechet(p, q) == pytest.approx(25 + 1 + 1.5**2)


def test_frechet_does_not_depend_on_the_axes_and_is_symmetric() -> None:
    R, _ = np.linalg.qr(GENERATOR.normal(size=(3, 3)))
    p, q = ([0.0, 0, 1], [1.0, 2, 0.5]), ([3.0, 4, 1], [1.0, 1, 2])
    turned = frechet(gaussian(*p, R), gaussian(*q, R))
    assert turned == pytest.approx(frechet(gaussian(*p), gaussian(*q)))
    assert frechet(gaussian(*q, R), gaussian(*p, R)) == pytest.approx(turned)


def test_frechet_of_a_gaussian_to_itself_is_zero() -> None:
    features = GENERATOR.normal(size=(1000, 8)) @ GENERATOR.normal(size=(8, 8))
    fit = Gaussian.fit(features)
    np.testing.assert_allclose(fit.covariance, np.cov(features.T))
    assert frechet(fit, fit) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("n", [0, 499, 100_001, True, 500.0, "5000"])
def test_too_few_or_too_many_pictures_are_refused(n: Any) -> None:
    with pytest.raises(InputError, match="500 to 100000"):
        next(evaluate("toons16", n))


def test_a_model_without_a_yardstick_says_so() -> None:
    with pytest.raises(InputError, match=r"brings no evaluation\.json"):
        list(evaluate("toons16-teacher"))


def changed(**files: bytes | None) -> Bundle:
    """The shipped bundle as it would be with other files; None drops one. Keys have _ for the dot."""
    bundle = open_model("toons16")
    replaced = dict(bundle.files)
    for key, data in files.items():
        name = key.replace("_", ".")
        replaced.pop(name)
        if data is not None:
            replaced[name] = data
    return Bundle(bundle.path, bundle.digest, bundle.manifest, MappingProxyType(replaced))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"evaluation_json": b"{"}, "not legal JSON"),
        ({"evaluation_json": b'{"yardstick": "yardstick.onnx"}'}, "reference is missing"),
        ({"evaluation_json": b'{"yardstick": "../x", "reference": "r", "teacher": "t"}'}, "plain file name"),
        ({"yardstick_onnx": None}, r"yardstick\.onnx is not listed"),
        ({"yardstick_onnx": b"\x08"}, r"yardstick\.onnx"),
        ({"reference_safetensors": None}, r"reference\.safetensors is not listed"),
        ({"reference_safetensors": b"\0" * 9}, r"reference\.safetensors"),
    ],
)
def test_a_damaged_yardstick_is_refused(files: dict[str, bytes | None], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Yardstick.open(changed(**files))


def test_the_shipped_model_makes_what_it_is_asked_for() -> None:
    """Its card promises a class accuracy of 0.97 at two steps; real pictures are closer to each other than to its."""
    bundle = open_model("toons16")
    yardstick = Yardstick.open(bundle)
    floor = frechet(yardstick.held_out, yardstick.other)
    row = _row(load("toons16"), yardstick, 2, 500, None)
    assert row.accuracy["class"] >= 0.97 and row.accuracy["background"] >= 0.97 and row.accuracy["color"] >= 0.9
    assert 0 < floor < row.frechet < 100


def test_the_bundle_names_its_teacher(tmp_path: Path) -> None:
    document = json.loads(open_model("toons16").files[FILE])
    assert document["teacher"] == "toons16-teacher" and load("toons16-teacher").manifest.schedule.guidance > 1

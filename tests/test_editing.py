"""Pictures changed and repainted from folders of diffusers, beside its own pipelines; and by the model that ships."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import whole_families
from editing_parity import CHANGING, CLOSE, INPAINTING, SEEDS, Pair
from PIL import Image
from whole_families import PROMPTS

import fewstep
from fewstep.cli.main import main
from fewstep.export.from_checkpoint import Wanted, export_published

pytestmark = pytest.mark.filterwarnings("ignore")  # of diffusers and transformers
NAMES = ("sd-turbo", "sdxl-turbo", "lcm-dreamshaper", pytest.param("flux-schnell", marks=pytest.mark.slow))
EXPORTED = "flux-schnell"
GREEN = "green critter on purple"


@pytest.fixture(scope="module", params=NAMES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    name = request.param
    return Pair(name, whole_families.write(name, tmp_path_factory.mktemp("editing") / name))


@pytest.fixture(scope="module")
def models(pair: Pair) -> dict[str, Any]:
    """Of one family also as a bundle; `python tests/editing_parity.py --bundles` has them all."""
    name, bundle = pair.folder.name, pair.folder.with_name("bundle")
    models = {"torch": fewstep.load(pair.folder, device="cpu", family=name, size=pair.told.image)}
    if name == EXPORTED:
        export_published(pair.folder, bundle, Wanted(family=name, size=pair.told.image), dtype="fp32", editing=True)
        models["onnxruntime"] = fewstep.load(bundle, device="cpu")
    return models


@pytest.mark.parametrize("kind", [CHANGING, INPAINTING], ids=["image", "mask"])
def test_the_latents_are_those_of_diffusers(pair: Pair, models: dict[str, Any], kind: int) -> None:
    for model in models.values():
        errors = pair.errors(model, kind, [1, 2, 3, 4])
        assert len(errors) >= 11 and max(errors.values()) <= CLOSE, (model.backend.name, errors)


def test_with_the_own_numbers_the_backends_make_the_same(pair: Pair, models: dict[str, Any]) -> None:
    """The mean of what the encoder says, and each picture as if it were alone."""
    if len(models) == 1:
        return
    given: dict[str, Any] = {"seed": list(SEEDS), "strength": 0.5, "steps": 2, "mask": pair.mask}
    made = [model(list(PROMPTS), image=pair.images, **given) for model in models.values()]
    assert np.abs(made[0].images.astype(int) - made[1].images).max() <= 1
    alone = models["onnxruntime"](PROMPTS[1], image=pair.images[1], **{**given, "seed": SEEDS[1]})
    assert np.array_equal(alone.images[0], made[1].images[1])


def colours(images: Any) -> Any:
    """The middle's mean colour of each picture."""
    return images[:, 8:24, 8:24].reshape(len(images), -1, 3).mean(axis=1)


def test_the_model_that_ships_changes_pictures() -> None:
    """Green critters become red planets, the more so the stronger; what a mask keeps stays."""
    pipe = fewstep.load()
    critters = pipe(GREEN, seed=3, n=4).images
    changed = {
        strength: pipe(
            label={"class": "planets", "color": "red"}, image=critters, strength=strength, steps=4, seed=11
        ).images
        for strength in (0.25, 0.5, 0.75)
    }
    far = [np.abs(images.astype(int) - critters).mean() for images in changed.values()]
    assert far[0] < far[1] < far[2]
    red = [float((colours(images)[:, 0] - colours(images)[:, 1]).mean()) for images in changed.values()]
    assert red[0] < red[2] and red[2] > 40 > -40 > float((colours(critters)[:, 0] - colours(critters)[:, 1]).mean())
    mask = np.zeros((32, 32), np.uint8)
    mask[:, 16:] = 255
    half = pipe(label="planets", image=critters, mask=mask, steps=4, seed=11).images
    assert np.array_equal(half[:, :, :16], critters[:, :, :16]) and (half[:, :, 16:] != critters[:, :, 16:]).any()


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    critter, out, between = (str(tmp_path / name) for name in ("critter.png", "planet.png", "between-{i}.png"))
    Image.fromarray(np.repeat(np.repeat([[0, 255]], 16, axis=1), 32, axis=0).astype(np.uint8)).save(tmp_path / "m.png")
    assert main(["generate", "-p", GREEN, "--seed", "3", "-o", critter, "-q"]) == 0
    command = ["generate", "--label", "planets", "--seed", "4", "--steps", "4", "--image", critter, "-o", out, "--json"]
    assert main([*command, "--strength", "0.5", "--mask", str(tmp_path / "m.png")]) == 0
    report = capsys.readouterr().out
    assert '"strength": 0.5, "masked": true' in report
    kept, made = (np.asarray(Image.open(path).convert("RGB"))[:, :16] for path in (critter, out))
    assert np.array_equal(kept, made)
    mixed = ["generate", "-p", GREEN, "--seed", "3", "--seed-to", "7", "--mix", "0.5", "-o", between, "--json"]
    assert main(mixed) == 0
    assert '"seeds_to": [7], "mix": [0.5]' in capsys.readouterr().out
    assert main([*command, "--strength", "2"]) == 2
    assert "strength: expected a number above 0 and up to 1, got 2.0" in capsys.readouterr().err

"""Families of text with classifier-free guidance: negative prompts and scales as diffusers' pipelines take them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import whole_families
from whole_families import PROMPTS, SCALES, whole

import fewstep
from fewstep.engine.pipeline import Pipeline
from fewstep.errors import ContractError
from fewstep.export.families.catalogue import FAMILIES

pytestmark = pytest.mark.filterwarnings("ignore")  # of diffusers and transformers
SEEDS, STEPS = (5, 6), 2
NAMES = ("hyper-sd15-cfg", "hyper-sdxl-cfg")
NEGATIVES = ["dog", "A cat"]


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_families.write(name, tmp_path_factory.mktemp(name) / "model")


@pytest.fixture(scope="module")
def pipe(name: str, folder: Path) -> Pipeline:
    return fewstep.load(folder, device="cpu", family=name, distilled_steps=8, size=whole(name).image)


@pytest.mark.parametrize(("negative", "scale"), [(None, None), (NEGATIVES, 6.5), ("dog", 8.0)])
def test_the_pipelines_pictures(
    name: str, folder: Path, pipe: Pipeline, negative: str | list[str] | None, scale: float | None
) -> None:
    told: dict[str, Any] = (
        {} if negative is None else {"negative_prompt": [negative] * 2 if isinstance(negative, str) else negative}
    )
    told |= {} if scale is None else {"guidance_scale": scale}
    theirs = whole_families.run(whole(name), whole_families.opened(name, folder), STEPS, SEEDS, "np", **told)
    made = pipe(
        list(PROMPTS), negative_prompt=negative, guidance=scale, seed=list(SEEDS), steps=STEPS, rng="torch", force=True
    )
    assert np.abs(made.images - 255 * np.asarray(theirs)).max() <= 0.51
    assert made.guidance == (scale or SCALES[name]) and len(made.forced) == 1  # the steps


def test_a_scale_it_was_not_distilled_for(name: str, pipe: Pipeline) -> None:
    low, high = FAMILIES[name].contract.guidance_range or (0, 0)
    assert (low, high) == (5, 8)
    with pytest.raises(ContractError, match=r"guidance: model was distilled for 5 to 8, got 4\.9"):
        pipe("a cat", guidance=4.9)

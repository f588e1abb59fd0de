"""DiT against DiTPipeline: guidance as a second row of the batch, classes and the row of none."""

from pathlib import Path

import numpy as np
import pytest
import whole_families
from whole_families import DECODED, whole

import fewstep
from fewstep.engine.pipeline import Pipeline
from fewstep.errors import ContractError, InputError
from fewstep.export.checkpoints.opening import open_checkpoint
from fewstep.export.detect import detect
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.dit import measure
from fewstep.export.from_checkpoint import export_published

pytestmark = pytest.mark.filterwarnings("ignore")  # of diffusers
SEEDS = (5, 6)
NAME = "dit-xl-2-256"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_families.write(NAME, tmp_path_factory.mktemp("dit") / "model")


@pytest.fixture(scope="module", params=["torch", "onnxruntime"])
def pipe(folder: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    if request.param == "torch":
        return fewstep.load(folder, device="cpu")
    bundle = tmp_path_factory.mktemp("dit") / "bundle"
    export_published(folder, bundle, dtype="fp32")
    return fewstep.load(bundle, device="cpu", threads=1)


@pytest.mark.parametrize("guidance", [None, 1.5])
@pytest.mark.parametrize("steps", [4, 8])
def test_the_pipelines_pictures(folder: Path, pipe: Pipeline, steps: int, guidance: float | None) -> None:
    told = whole(NAME)
    scale = {} if guidance is None else {"guidance_scale": guidance}
    expected = whole_families.run(told, whole_families.opened(NAME, folder), steps, SEEDS, "np", **scale)
    forced = guidance is not None
    made = pipe(label=["3", "7"], seed=list(SEEDS), steps=steps, guidance=guidance, rng="torch", force=forced)
    assert np.abs(made.images - 255 * np.asarray(expected)).max() <= 0.51
    assert made.guidance == (4 if guidance is None else guidance) and len(made.forced) == forced


def test_what_the_pipeline_decodes_is_its_latents(folder: Path) -> None:
    """The way that tests take to latents which DiTPipeline does not return."""
    given = whole_families.run(whole(NAME), whole_families.opened(NAME, folder), 4, SEEDS, DECODED)
    assert given.shape == (2, *FAMILIES[NAME].tiny.latent)


def test_what_it_refuses(folder: Path, pipe: Pipeline) -> None:
    with pytest.raises(ContractError, match=r"guidance: .* was distilled for 4, got 1\.5"):
        pipe(label="3", steps=4, guidance=1.5)
    with pytest.raises(ContractError, match="negative_prompt: model reads no text"):
        pipe(label="3", steps=4, negative_prompt="a")
    with pytest.raises(InputError, match="unknown label '1000'"):
        pipe(label="1000", steps=4)
    networks = FAMILIES[NAME].tiny.networks
    with pytest.raises(InputError, match="size: expected 16 x 16, as its positions are learnt for"):
        measure(networks, (32, 32))


def test_the_files_tell_the_family(folder: Path) -> None:
    assert detect(open_checkpoint(folder)).name == NAME

"""Folders of every family: what their files tell, that they load, and that the page's table is what was measured."""

from pathlib import Path

import numpy as np
import pytest
import whole_families
from family_table import TABLES, section, table
from whole_families import PROMPTS, whole

import fewstep
from fewstep.errors import InputError
from fewstep.export.checkpoints.opening import open_checkpoint
from fewstep.export.detect import detect
from fewstep.export.families.catalogue import FAMILIES

pytestmark = pytest.mark.filterwarnings("ignore")  # of diffusers and transformers
SEEDS = (5, 6)
TOLD = ("sdxl-turbo", "lcm-dreamshaper", "pixart-delta", "sana-sprint", "flux-schnell", "z-image-turbo")
NOT_TOLD = ("cd_bedroom256", "qwen-image-lightning")


def test_the_pages_tables_are_what_was_measured() -> None:
    for begin, make in TABLES.items():
        assert section(begin) == make()
    assert [row.split(" | ")[0] for row in table().splitlines()[2:]] == [f"| {name}" for name in FAMILIES]


@pytest.mark.parametrize("name", TOLD)
def test_the_files_tell_the_family(name: str, tmp_path: Path) -> None:
    assert detect(open_checkpoint(whole_families.write(name, tmp_path / "model"))).name == name


@pytest.mark.parametrize("name", NOT_TOLD)
def test_a_family_that_the_files_do_not_tell_is_named(name: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(whole_families.write(name, tmp_path / "model"))
    with pytest.raises(InputError, match=r"does not say what its weights were distilled for; name the family"):
        detect(checkpoint)
    assert detect(checkpoint, name).name == name


@pytest.mark.parametrize("name", ["sdxl-turbo", "sd3.5-large-turbo", "z-image-turbo", "qwen-image-lightning"])
def test_a_loaded_folder_makes_the_pipelines_pictures(name: str, tmp_path: Path) -> None:
    told, steps = whole(name), min(FAMILIES[name].contract.steps)
    folder = whole_families.write(name, tmp_path / "model")
    expected = whole_families.run(told, whole_families.opened(name, folder), steps, SEEDS, "np")
    count = steps if name == "qwen-image-lightning" else None
    pipe = fewstep.load(folder, device="cpu", family=name, distilled_steps=count, size=told.image)
    made = pipe(list(PROMPTS), seed=list(SEEDS), steps=steps, rng="torch").images
    assert np.abs(made - 255 * np.asarray(expected)).max() <= 0.51

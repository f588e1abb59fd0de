import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewstep.engine.result import Result, numbered, plan_files
from fewstep.engine.timings import Timings
from fewstep.errors import InputError, OutputError


def result(n: int) -> Result:
    images = np.random.default_rng(0).integers(0, 256, (n, 4, 4, 3), np.uint8)
    labels = tuple({"class": f"kind {i}"} for i in range(n))
    return Result(images, tuple(range(7, 7 + n)), labels, 2, "small", "trigflow", Timings())


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_one_picture_is_one_file(tmp_path: Path) -> None:
    r = result(1)
    assert r.save(tmp_path / "a.png") == [tmp_path / "a.png"]
    assert np.array_equal(read(tmp_path / "a.png"), r.images[0])
    assert r.timings.encode > 0


@pytest.mark.parametrize(
    ("name", "layout", "first"),
    [("a.png", "auto", "a-0001.png"), ("a.png", "numbered", "a-0001.png"), ("x{i}y.png", "auto", "x0001y.png")],
)
def test_several_are_numbered(tmp_path: Path, name: str, layout: str, first: str) -> None:
    r = result(3)
    files = r.save(str(tmp_path / name), layout)
    assert files[0].name == first and sorted(tmp_path.iterdir()) == files
    for file, image in zip(files, r.images, strict=True):
        assert np.array_equal(read(file), image)


def test_a_number_s_place_numbers_one_picture_too(tmp_path: Path) -> None:
    assert [file.name for file in result(1).save(tmp_path / "{i}.png")] == ["0001.png"]


def test_a_sheet_is_one_picture(tmp_path: Path) -> None:
    r = result(3)
    assert r.save(tmp_path / "s.png", "sheet", scale=2) == [tmp_path / "s.png"]
    sheet = read(tmp_path / "s.png")
    assert sheet.shape == (16, 16, 3) and np.array_equal(sheet[::2, ::2][:4, 4:], r.images[1])


def test_a_png_says_how_it_was_made(tmp_path: Path) -> None:
    files = result(2).save(tmp_path / "a.png")
    with Image.open(files[1]) as image:
        text = {key: value for key, value in image.info.items() if isinstance(value, str)}
    assert text == {
        "Software": "fewstep",
        "model": "small",
        "schedule": "trigflow",
        "steps": "2",
        "seed": "8",
        "labels": '{"class": "kind 1"}',
    }
    result(2).save(tmp_path / "s.png", "sheet")
    with Image.open(tmp_path / "s.png") as image:
        assert json.loads(image.info["seed"]) == [7, 8]
        assert json.loads(image.info["labels"]) == [{"class": "kind 0"}, {"class": "kind 1"}]


@pytest.mark.parametrize(
    ("n", "name", "layout", "scale", "message"),
    [
        (2, "a.png", "single", 1, "layout single: expected one picture, got 2"),
        (1, "a.png", "grid", 1, "layout: expected one of auto, numbered, sheet, single"),
        (1, "a.gif", "auto", 1, "expected a name ending in"),
        (1, "a", "auto", 1, "expected a name ending in"),
        (1, "", "auto", 1, "output: expected a name ending in"),
        (2, f"{'x' * 251}.gif", "auto", 1, "output: expected a name ending in"),
        (1, "a.png", "auto", 0, "scale: expected an integer"),
        (1, "a.png", "auto", 1.5, "scale: expected an integer"),
        (1, "a.png", "auto", 10**6, "scale: expected an integer from 1 to 4095"),
        (4, "a.png", "sheet", 4095, "scale: expected an integer from 1 to 2047"),
        (4, "a.png", "numbered", 4095, "are more than 268435456 pixels"),
    ],
)
def test_refused_before_anything_is_written(
    tmp_path: Path, n: int, name: str, layout: str, scale: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        result(n).save(tmp_path / name, layout, scale)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [None, 3, b"a.png", ["a.png"], "", "a.png/", "a\ud800.png"], ids=ascii)
def test_what_is_no_name_of_a_file(path: object) -> None:
    with pytest.raises(InputError, match="output: expected"):
        result(1).save(path)  # type: ignore[arg-type]


def test_a_folder_that_may_not_be_written_is_known_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="cannot be written"):
        plan_files(tmp_path / "a.png", "auto", 1, 1, 4, 4)


def test_the_plan_is_what_is_saved(tmp_path: Path) -> None:
    for n, layout, name in (
        (1, "auto", "a.png"),
        (3, "auto", "b.png"),
        (3, "sheet", "c.png"),
        (1, "numbered", "d.png"),
    ):
        planned = plan_files(tmp_path / name, layout, 2, n, 4, 4)[1]
        assert not any(path.exists() for path in planned)
        assert result(n).save(tmp_path / name, layout, 2) == planned


def test_one_bad_target_stops_all(tmp_path: Path) -> None:
    (tmp_path / "a-0002.png").mkdir()
    with pytest.raises(OutputError, match=r"a-0002\.png"):
        result(3).save(tmp_path / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a-0002.png"]


def test_numbers_sort(tmp_path: Path) -> None:
    names = [numbered(tmp_path / "a.png", i).name for i in (1, 20, 1024)]
    assert names == sorted(names) == ["a-0001.png", "a-0020.png", "a-1024.png"]

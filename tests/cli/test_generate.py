import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_bundle import write_bundle

from fewstep.api import load
from fewstep.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "small")


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_picture_from_a_prompt(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.png"
    prompt = ["-p", "sparkly green critter on purple", "-s", "7", "--steps", "4"]
    assert main(["generate", "-m", str(folder), *prompt, "-o", str(out), "-W", "8", "-H", "8"]) == 0
    expected = load(folder)("green critter on purple", seed=7, steps=4)
    assert np.array_equal(read(out), expected.images[0])
    printed = capsys.readouterr()
    assert printed.out == f"{out}: small, 4 steps, class critters, background purple, color green, seed 7\n"
    assert printed.err == "fewstep: warning: words not in the model's vocabulary were ignored: sparkly\n"


def test_json_is_one_object_on_standard_output(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [
        "generate",
        "-m",
        str(folder),
        "--label",
        "class=planets,color=red",
        "-n",
        "2",
        "-s",
        str(2**64 - 1),
        "--json",
    ]
    assert main([*argv, "-o", str(tmp_path / "p.webp"), "--threads", "2"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert printed.err == "" and printed.out.count("\n") == 1
    assert report["seeds"] == [2**64 - 1, 0] and report["steps"] == 2 and report["schedule"] == "trigflow"
    assert [(row["class"], row["color"]) for row in report["labels"]] == [("planets", "red")] * 2
    assert report["files"] == [str(tmp_path / f"p-000{i}.webp") for i in (1, 2)]
    assert (report["backend"], report["device"], report["threads"]) == ("onnxruntime", "cpu", 2)
    assert set(report["timings_ms"]) == {"load", "prompt", "denoise", "decode", "encode", "total"}
    assert all(Path(file).is_file() for file in report["files"])


def test_a_sheet(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "s.png"
    argv = ["generate", "-m", str(folder), "-n", "4", "-s", "7", "--layout", "sheet", "--scale", "3", "-o", str(out)]
    assert main(argv) == 0
    assert read(out).shape == (48, 48, 3)
    line = capsys.readouterr().out
    assert line.startswith(f"{out}: small, 2 steps, 4 pictures, the first class ") and line.endswith(", seed 7\n")


def test_quiet_prints_nothing(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "-m", str(folder), "-p", "odd planets", "-q", "-o", str(tmp_path / "a.png")]) == 0
    assert capsys.readouterr() == ("", "")


def test_progress_only_on_a_terminal(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["generate", "-m", str(folder), "-n", "2", "-o", str(tmp_path / "a.png")]
    assert main(argv) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(argv) == 0
    assert capsys.readouterr().err == "\rpicture 1 of 2\rpicture 2 of 2\n"
    assert main([*argv, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_variables_take_the_place_of_flags(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MODEL": str(folder), "N": "3", "SEED": "1", "OUTPUT": str(tmp_path / "{i}.jpg")}.items():
        monkeypatch.setenv(f"FEWSTEP_{name}", value)
    assert main(["generate"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0001.jpg", "0002.jpg", "0003.jpg"]

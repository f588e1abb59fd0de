"""What README.md and docs/quickstart.md say, done."""

import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fewstep
from fewstep import errors
from fewstep.api import shipped_models
from fewstep.cli.main import main, make_parser

ROOT = Path(__file__).parents[1]
README, QUICKSTART = ((ROOT / name).read_text() for name in ("README.md", "docs/quickstart.md"))
needs_model = pytest.mark.skipif("toons16" not in shipped_models(), reason="this checkout ships no model")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(code: str, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(code, "<documentation>", "exec"), names)
    return names


@needs_model
@pytest.mark.parametrize("text", [README, QUICKSTART], ids=["readme", "quickstart"])
def test_the_first_example(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks(text, "python")[0]
    names = run(code, {})
    assert len(code.split("\n\n")) == 2 and len(code.splitlines()) == 5
    with Image.open("critters.png") as sheet:
        side = 2 * 4 * names["pipe"].manifest.image.width
        assert sheet.size == (side, side)
    assert [path.name for path in tmp_path.iterdir()] == ["critters.png"]


@needs_model
def test_the_quickstart_s_other_examples_and_what_it_says_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, wanted, changing = blocks(QUICKSTART, "python")
    names = run(first, {})
    r, pipe = names["r"], names["pipe"]
    assert r.images.dtype == np.uint8 and r.images.ndim == 4 and r.seeds == (7, 8, 9, 10) and r.steps == 2
    assert all(np.array_equal(np.asarray(a), b) for a, b in zip(r.pil(), r.images, strict=True))
    assert "r.timings" in QUICKSTART and r.timings.total > 0
    claim = re.search(r"`(pipe\(.*?\))` is the third of the four", QUICKSTART)
    assert claim and np.array_equal(eval(claim[1], names).images[0], r.images[2])
    lines = wanted.splitlines()
    assert len(lines) == 4
    made = [eval(line, names) for line in lines]
    assert [len(result.images) for result in made] == [1, 1, 1, 3]
    assert made[0].labels[0] == {"class": "planets", "background": "navy", "color": "teal"}
    assert made[1].labels[0]["class"] == "planets"
    assert made[2].labels[0] == {"class": "thumbs", "background": "pink", "color": "blue"}
    assert [labels["class"] for labels in made[3].labels] == ["planets", "moods", "gaze"]
    assert made[3].seeds == (1, 2, 3)
    assert not any(result.unknown_words for result in made)
    assert pipe("sparkly planet", seed=1).unknown_words == ("sparkly",)
    run(changing, names)
    critter, changed, half, between = (names[name] for name in ("critter", "changed", "half", "between"))
    assert changed.strength == 0.5 and (changed.images[0] != critter).any()
    assert np.array_equal(half.images[0][:, :16], critter[:, :16]) and len(between.images) == 5


@needs_model
def test_the_quickstart_s_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(line, comments=True) for block in blocks(QUICKSTART, "sh") for line in block.splitlines()]
    ours = [words[1:] for words in commands if words[0] == "fewstep"]
    assert ours and [words for words in commands if words[0] != "fewstep"] == [["pip", "install", "."]]
    assert [main(words) for words in ours] == [0] * len(ours)
    with Image.open("critter.png") as picture:
        assert picture.info["seed"] == "7"
    assert main(["inspect", "toons16"]) == 0


def test_the_table_of_commands_is_complete_and_its_flags_are_real(capsys: pytest.CaptureFixture[str]) -> None:
    rows = re.findall(r"^\| `fewstep (\w+)(.*?)` \| (.*) \|$", QUICKSTART, re.MULTILINE)
    assert main(["--help"]) == 0
    listed = re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE)
    assert sorted(name for name, _, _ in rows) == sorted(listed)
    for name, usage, text in rows:
        assert main([name, "--help"]) == 0
        flags = set(re.findall(r"(?<!\w)--?[a-z]+", capsys.readouterr().out))
        assert set(re.findall(r"(?<!\w)--?[a-z]+", usage + text)) <= flags


def test_the_table_of_errors_is_the_hierarchy() -> None:
    rows = dict(re.findall(r"^\| `(\w+)`(?: \(an? `(\w+)`\))? \|", QUICKSTART, re.MULTILINE))
    public = {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__ and name != "FewstepError"
    }
    assert set(rows) == set(public)
    for name, kind in public.items():
        assert issubclass(kind, fewstep.FewstepError) and getattr(fewstep, name) is kind
        others = [base.__name__ for base in kind.__bases__ if base is not fewstep.FewstepError]
        assert rows[name] == (others[0] if others else "")


def test_variables_and_exit_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "`FEWSTEP_STEPS` for `--steps`" in QUICKSTART
    monkeypatch.setenv("FEWSTEP_STEPS", "4")
    assert make_parser().parse_args(["generate"]).steps == 4
    assert "Exit codes: 0, 1 for a\nfailure while running, 2 for bad input, 130 when interrupted" in QUICKSTART


PAGES = [pytest.param(ROOT / "README.md", marks=needs_model), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []

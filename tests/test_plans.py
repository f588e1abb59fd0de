"""A plan from the command line and from Python: compiled, loaded, verified, inspected, refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_bundle import write_bundle

import fewstep
from fewstep.cli.main import main
from fewstep.compilation import compile_plan


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "toons16.fsp"
    compile_plan("toons16", path, steps=(1, 2))
    return path


@pytest.fixture
def copied(plan: Path, tmp_path: Path) -> Path:
    path = tmp_path / "copy.fsp"
    path.write_bytes(plan.read_bytes())
    return path


def test_a_plan_makes_its_bundles_pictures(plan: Path) -> None:
    ours, theirs = fewstep.load(plan, threads=2), fewstep.load("toons16")
    assert (ours.backend.name, ours.backend.device) == ("native", "cpu")
    for steps in (1, 2):
        made = ours("green critter", n=3, steps=steps, seed=5)
        wanted = theirs("green critter", n=3, steps=steps, seed=5)
        assert made.labels == wanted.labels
        assert np.abs(made.images.astype(int) - wanted.images).max() <= 1


def test_a_picture_does_not_depend_on_its_batch(plan: Path, tmp_path: Path) -> None:
    whole = compile_plan("toons16", tmp_path / "four.fsp", steps=(2,), batch=4)
    four = fewstep.load(whole.path)(n=6, seed=1)
    for i in (0, 3, 5):
        assert (fewstep.load(whole.path, threads=1)(n=1, seed=1 + i).images[0] == four.images[i]).all()
    assert np.abs(fewstep.load(plan)(n=6, seed=1).images.astype(int) - four.images).max() <= 1


def test_progress_is_told(plan: Path) -> None:
    told: list[tuple[int, int]] = []
    fewstep.load(plan)(n=3, seed=0, progress=lambda done, n: told.append((done, n)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_plan_runs_the_steps_it_was_compiled_for(plan: Path, copied: Path) -> None:
    one = compile_plan("toons16", copied, steps=(1,), overwrite=True)
    with pytest.raises((fewstep.ContractError, ValueError), match="steps"):
        fewstep.load(one.path)(n=1, steps=2, seed=0)
    with pytest.raises(fewstep.ContractError, match="3"):
        compile_plan("toons16", copied, steps=(3,), overwrite=True)


def test_a_certificate_is_written_and_asked_for(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(fewstep.PlanError, match="has no certificate; `fewstep verify` measures it"):
        fewstep.load(copied, max_error=1e-4)
    assert main(["verify", str(copied), "--against", "toons16", "--seeds", "2", "--json"]) == 0
    errors = json.loads(capsys.readouterr().out)["errors"]["onnxruntime"]
    assert errors.keys() == {"1", "2"}
    assert all(0 < error["rms"] <= error["max"] < 5e-5 and error["levels"] <= 1 for error in errors.values())
    assert fewstep.load(copied, max_error=5e-5)(n=1, seed=0).images.shape == (1, 32, 32, 3)
    with pytest.raises(fewstep.PlanError, match="expected errors of at most 1e-09, its certificate says"):
        fewstep.load(copied, max_error=1e-9)


def test_verify_fails_where_the_error_is_larger(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = copied.read_bytes()
    assert main(["verify", str(copied), "--against", "toons16", "--seeds", "1", "--max-error", "1e-9"]) == 1
    assert "expected errors of at most 1e-09" in capsys.readouterr().err
    assert main(["verify", str(copied), "--against", "toons16-teacher"]) == 2
    assert "was compiled from the bundle with digest" in capsys.readouterr().err
    assert copied.read_bytes() == before


def test_compile_and_inspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "small.fsp")
    assert main(["compile", str(write_bundle(tmp_path / "bundle")), "-o", out, "--json"]) == 0
    compiled = json.loads(capsys.readouterr().out)
    assert compiled["path"] == out and compiled["bytes"] == Path(out).stat().st_size
    assert main(["inspect", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["arena"] == compiled["arena"]
    assert main(["inspect", out]) == 0
    assert "memory: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["compile", "toons16", "-o", "{plan}"],
            1,
            "is there already; choose another name, or replace it with --force",
        ),
        (["compile", "toons16", "-o", "plan.bin"], 2, "output: expected a file that ends in .fsp"),
        (["compile", "toons16", "-o", "{new}", "--sm", "90"], 2, "sm: expected with --device cuda alone"),
        (["compile", "toons16", "-o", "{new}", "--ptx"], 2, "ptx: expected with --device cuda alone"),
        (["compile", "toons16", "-o", "{new}", "--matmul", "cublaslt"], 2, "matmul: expected with --device cuda alone"),
        (["compile", "toons16", "-o", "{new}", "--steps", "1;2"], 2, "steps: expected whole numbers with commas"),
        (["compile", "toons16", "-o", "{new}", "--steps", "1,1"], 2, "steps: expected each once, got [1, 1]"),
        (
            ["compile", "toons16", "-o", "{new}", "--device", "cuda", "--sm", "77"],
            2,
            "architectures: expected some of 80, 86, 89, 90, 100, 120, got [77]",
        ),
        (
            ["compile", "toons16", "-o", "{new}", "--device", "cuda", "--sm", "90,90"],
            2,
            "architectures: expected each once, got [90, 90]",
        ),
        (["compile", "toons16", "-o", "{new}", "-b", "0"], 2, "batch: expected an integer from 1 to 1024, got 0"),
        (["generate", "-m", "{new}"], 2, "there is no plan"),
        (["generate", "-m", "{plan}", "--device", "cuda"], 1, "compiled for cpu, got device cuda"),
        (["generate", "-m", "{plan}", "--backend", "onnxruntime"], 2, "backend: onnxruntime runs no plans, got"),
        (["generate", "--backend", "native"], 2, "native runs plans, got 'toons16'; run `fewstep compile toons16"),
        (["inspect", "{new}"], 1, "cannot be opened"),
        (["verify", "{plan}", "--against", "toons16", "--max-error", "0"], 2, "max-error: expected a number above 0"),
    ],
    ids=str,
)
def test_bad_input(
    arguments: list[str], code: int, message: str, plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"plan": str(plan), "new": str(tmp_path / "new.fsp")}
    assert main([argument.format(**names) for argument in arguments]) == code
    assert message in capsys.readouterr().err
    assert not Path(names["new"]).exists()


def test_a_damaged_plan_is_refused(copied: Path) -> None:
    data = bytearray(copied.read_bytes())
    data[-1] ^= 1
    copied.write_bytes(data)
    with pytest.raises(fewstep.PlanError, match="SHA-256"):
        fewstep.load(copied)


def test_a_bundle_has_no_certificate() -> None:
    with pytest.raises(fewstep.InputError, match="max_error: expected with a plan alone"):
        fewstep.load("toons16", max_error=0.1)

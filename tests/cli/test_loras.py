"""LoRAs of plans on the command line: what is refused, and what to do."""

from pathlib import Path

import pytest
from small_bundle import write_bundle

from fewstep.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "small")


def refusal(argv: list[str], capsys: Capture) -> str:
    assert main(argv) != 0
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    return printed


def test_targets_are_of_a_rank(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    argv = ["compile", str(folder), "-o", str(tmp_path / "a.fsp"), "--lora-targets", "all"]
    assert "lora_targets: expected with --lora-rank alone" in refusal(argv, capsys)


@pytest.mark.parametrize("rank", ["0", "1025"])
def test_a_rank_has_bounds(rank: str, folder: Path, tmp_path: Path, capsys: Capture) -> None:
    argv = ["compile", str(folder), "-o", str(tmp_path / "a.fsp"), "--lora-rank", rank]
    assert f"lora_rank: expected an integer from 1 to 1024, got {rank}" in refusal(argv, capsys)


@pytest.mark.parametrize("targets", ["all", "attention"])
def test_a_bundle_that_names_no_module_is_refused(targets: str, folder: Path, tmp_path: Path, capsys: Capture) -> None:
    argv = ["compile", str(folder), "-o", str(tmp_path / "a.fsp"), "--lora-rank", "4", "--lora-targets", targets]
    assert "names no module" in refusal(argv, capsys)
    assert not [*tmp_path.iterdir()]


def test_a_closed_plan_is_refused(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    plan = str(tmp_path / "a.fsp")
    assert main(["compile", str(folder), "-o", plan]) == 0
    capsys.readouterr()
    argv = ["generate", "-m", plan, "--loras", "a.safetensors=0.5", "-o", str(tmp_path / "out.png")]
    printed = refusal(argv, capsys)
    assert "expected a plan that leaves updates open, got a model that native runs" in printed
    assert "--lora-rank 64" in printed and not (tmp_path / "out.png").exists()


def test_a_bundle_takes_none(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    argv = ["generate", "-m", str(folder), "--loras", "a.safetensors", "-o", str(tmp_path / "out.png")]
    assert "loras: expected with a published checkpoint alone" in refusal(argv, capsys)

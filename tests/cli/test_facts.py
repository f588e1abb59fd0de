"""The commands that tell: models, inspect, doctor, --version, --help."""

import json
import sys
from pathlib import Path

import onnxruntime
import pytest
from small_bundle import LABELS, write_bundle
from staged_bundle import add_stages_to

import fewstep
from fewstep import api
from fewstep.cli import saving as saving_module
from fewstep.cli.doctor import torch_backend
from fewstep.cli.main import COMMANDS, main
from fewstep.engine.device import choose_device, cuda_devices

HELP = Path(__file__).parent / "help"
NAMES = [command.__name__.rpartition(".")[2] for command in COMMANDS]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_bundle(tmp_path / "small")
    monkeypatch.setattr(api, "shipped_models", lambda: {"small": folder})
    return folder


@pytest.mark.parametrize("name", ["fewstep", *NAMES])
def test_help_is_what_was_agreed(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To change a help text on purpose: COLUMNS=100 fewstep COMMAND --help > tests/cli/help/COMMAND.txt."""
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["--help"] if name == "fewstep" else [name, "--help"]) == 0
    assert capsys.readouterr().out == (HELP / f"{name}.txt").read_text()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fewstep {fewstep.__version__}\n"


def test_models(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert capsys.readouterr().out == "small  8 x 8  steps 1/2/4  CC0-1.0  Random weights, for tests\n"
    assert main(["models", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["models"]
    assert row["name"] == "small" and row["steps"] == [1, 2, 4]


def test_no_model_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "shipped_models", dict)
    assert main(["models"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and "no model is shipped" in printed.err


def test_inspect_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    written = json.loads((folder / "bundle.json").read_text())
    written["components"]["denoiser"]["stages"] = {}  # which version 1 has not
    written |= {"texts": [], "embedded_guidance": None}
    written["schedule"]["guidance_range"] = None
    assert report["bundle"] == {key: written[key] for key in written if key not in ("format", "version")}
    assert report["savings"] == {}
    table = report["tables"]["2"]
    assert table["tau"] == written["schedule"]["steps"]["2"]["times"] and table["r"] == [None, None]


def test_inspect_for_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "small"]) == 0
    lines = capsys.readouterr().out.splitlines()
    written = json.loads((folder / "bundle.json").read_text())
    for name, file in written["files"].items():
        assert f"file       {name}  {file['size']} bytes  sha256 {file['sha256']}" in lines
    for name, values in LABELS:
        assert f"label      {name}: {', '.join(values)}" in lines
    assert "  in  labels int64 [B, 3]" in lines and "4 steps: init 0.5, out_scale 1" in lines
    assert all(line.isprintable() for line in lines)


def test_inspect_counts_what_stages_save(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Gemm (1, 16) x (16, 3) leaves the loop; Conv 3 x 3 of 3 to 3 channels on 8 x 8 stays."""
    gemm, conv = 2 * 16 * 3, 2 * 3 * 8 * 8 * 3 * 9
    add_stages_to(folder)
    assert main(["inspect", "small", "--json"]) == 0
    saving = json.loads(capsys.readouterr().out)["savings"]["denoiser"]
    assert saving["whole"]["flop"] == gemm + conv and saving["removed"]["flop"] == gemm
    assert {name: work["flop"] for name, work in saving["stages"].items()} == {
        "tables": 0, "prompt": 0, "modulation": gemm, "step": conv
    }  # fmt: skip
    assert saving["removed"]["nodes"] == saving["whole"]["nodes"] - saving["stages"]["step"]["nodes"] > 5
    assert main(["inspect", "small"]) == 0
    lines = capsys.readouterr().out.splitlines()
    removed, whole = saving["removed"], saving["whole"]
    assert any(f"{removed['nodes']} of {whole['nodes']} nodes" in line for line in lines)
    assert "  stage prompt: prompt.onnx, 1 values in, 3 out" in lines


def test_inspect_without_the_export_extra(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_stages_to(folder)
    monkeypatch.setattr(saving_module, "NEEDED", ("onnx", "no_such_module"))
    assert main(["inspect", "small"]) == 0
    assert "not counted, needs no_such_module; pip install 'fewstep[export]'" in capsys.readouterr().out


def test_doctor(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["versions"]["onnxruntime"] == onnxruntime.__version__
    assert report["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert report["choice"]["device"].startswith(choose_device()[0])
    assert report["models"] == {"small": str(folder)}
    assert report["backends"]["torch"].startswith("eager")
    assert main(["doctor"]) == 0
    assert "device " in capsys.readouterr().out


def test_doctor_knows_what_the_torch_backend_can_do() -> None:
    both: dict[str, str | None] = {"torch": "2.11", "triton": "3.6"}
    assert torch_backend(both, 0) == "eager; fused and captured need a CUDA device"
    assert torch_backend(both, 1) == "eager, fused, and captured as one CUDA graph a request"
    assert torch_backend({**both, "triton": None}, 1).startswith("not to be had: no triton (")


def test_auto_is_cuda_only_if_both_onnxruntime_and_a_device_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    providers = ["CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr("fewstep.engine.device.cuda_devices", lambda: 1)
    assert choose_device()[0] == "cpu"
    providers.insert(0, "CUDAExecutionProvider")
    assert choose_device()[0] == "cuda"
    monkeypatch.setattr("fewstep.engine.device.cuda_devices", lambda: 0)
    assert choose_device()[0] == "cpu"
    assert cuda_devices() >= 0

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from profile_cases import CEILINGS, tiny_case
from small_bundle import write_bundle

from fewstep import api
from fewstep.cli import needs
from fewstep.cli.main import main
from fewstep.profile import ceilings, table

QUICK = ("--peers", "eager,fused", "--rounds", "2", "--device", "cpu")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "CASES", [tiny_case(), tiny_case(op="triple")])
    monkeypatch.setattr(ceilings, "measure_ceilings", lambda device, dtypes: CEILINGS)


def test_kernels_as_a_table_json_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plot = tmp_path / "out.json", tmp_path / "out.png"
    assert main(["profile", "kernels", *QUICK, "--op", "double", "--json", str(out), "--plot", str(plot)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("ceilings measured") and "double 4x8 float32" in printed.out
    assert "1 of 1: double 4x8" in printed.err
    report = json.loads(out.read_text())
    assert (report["what"], report["rounds"], report["machine"]["device"]) == ("kernels", 2, "cpu")
    assert report["ceilings"]["copy"] == 1e9 and [row["dtype"] for row in report["rows"]] == ["float32"]
    assert list(report["rows"][0]["peers"]) == ["eager", "fused"]
    assert plot.read_bytes().startswith(b"\x89PNG") and sorted(p.name for p in tmp_path.iterdir()) == [
        "out.json",
        "out.png",
    ]


def test_a_dtype_and_a_family_are_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "kernels", *QUICK, "--family", "flux-schnell", "--dtype", "fp16"]) == 0
    out = capsys.readouterr().out
    assert "double 4x8 float16" in out and "triple 4x8 float16" in out and "float32 (" not in out


def test_a_pipeline_of_a_shipped_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_bundle(tmp_path / "small")
    monkeypatch.setattr(api, "shipped_models", lambda: {"small": folder})
    out = tmp_path / "out.json"
    command = [
        "profile",
        "pipeline",
        "-m",
        "small",
        "--peers",
        "onnxruntime,fewstep",
        "--rounds",
        "1",
        "--threads",
        "1",
    ]
    assert main([*command, "--device", "cpu", "--steps", "2", "-n", "2", "--json", str(out)]) == 0
    assert "step 2" in capsys.readouterr().out
    report = json.loads(out.read_text())
    assert [row["peer"] for row in report["rows"]] == ["fewstep", "onnxruntime"]
    assert (report["subject"], report["size"], report["images"]) == ("small", None, 2)
    assert all(row["apart"][0] <= 1 for row in report["rows"])


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["kernels", "--op", "half"], 2, "op: expected one of double, triple, got 'half'"),
        (["kernels", "--family", "sd"], 2, "family: expected one of flux-schnell, sd-turbo, got 'sd'"),
        (
            ["kernels", "--peers", "eager,best"],
            2,
            "peers: expected some of eager, compiled, libraries, fused, got best",
        ),
        (["kernels", "--rounds", "0"], 2, "rounds: expected an integer from 1 to 10000, got 0"),
        (["kernels", "--dtype", "fp64"], 2, "--dtype"),
        (["kernels", "--json", "no/such/folder/out.json"], 1, "does not exist; create it first"),
        (["kernels", "--plot", ""], 2, "plot: expected the name of a file, got ''"),
        (["kernels", "--json", "a\0b"], 2, "json: expected the name of a file"),
        (["pipeline", "--family", "sd"], 2, "family: expected one of cd_bedroom256, "),
        (["pipeline", "-m", "none"], 2, "unknown model 'none'"),
        (["pipeline", "-n", "0"], 2, "n: expected an integer from 1"),
        (["pipeline", "--threads", "0"], 2, "threads: expected an integer from 1"),
        (["engines"], 2, "invalid choice"),
        ([], 2, "kernels|pipeline"),
    ],
)
def test_bad_input(options: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *options]) == code
    assert message in capsys.readouterr().err


def test_a_device_that_is_not_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["profile", "kernels", "--device", "cuda"]) == 1
    assert "PyTorch finds no CUDA device here; choose device cpu" in capsys.readouterr().err


def test_a_package_that_is_not_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str) -> Any:
        return None if name == "matplotlib" else name

    monkeypatch.setattr(needs, "find_spec", found)
    assert main(["profile", "kernels", *QUICK]) == 0
    assert main(["profile", "kernels", "--plot", "out.png"]) == 1
    assert "fewstep profile needs matplotlib; pip install 'fewstep[profile]'" in capsys.readouterr().err

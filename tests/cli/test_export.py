import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from forged_bundle import Forgery

from fewstep.cli import export, needs
from fewstep.cli.parser import Parser
from fewstep.engine.bundle import Bundle
from fewstep.errors import InputError, MissingDependencyError
from fewstep.export.export import Export
from fewstep.export.staging.report import Saving, Work

STEP = Work(nodes=2, weights=6_000_000, flop=10_000_000)
SAVING = Saving(
    Work(nodes=3, weights=10_000_000, flop=12_000_000), {"step": STEP}, Work(nodes=1, weights=4_000_000, flop=2_000_000)
)


def run(*arguments: str) -> int:
    parser = Parser(prog="fewstep")
    export.add_parser(parser.add_subparsers(required=True, prog="fewstep"))
    args = parser.parse_args(["export", *arguments])
    return int(args.run(args))


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of exports that were asked for; each gives a bundle at once. Real ones are in tests/export."""
    found: list[dict[str, Any]] = []
    bundle = Bundle.open(Forgery().write(tmp_path))

    def export_checkpoint(path: str, out: str, **options: Any) -> Export:
        found.append({"path": path, "out": out, **options})
        return Export(bundle, options["dtype"], 2e-7, SAVING)

    monkeypatch.setattr("fewstep.export.export.export_checkpoint", export_checkpoint)
    return found


def test_flags_are_passed_on(calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("in", "-o", "out") == 0 and run("in", "--output", "out", "--force", "--dtype", "fp32") == 0
    assert calls == [
        {"path": "in", "out": "out", "dtype": "fp16", "overwrite": False},
        {"path": "in", "out": "out", "dtype": "fp32", "overwrite": True},
    ]
    said = capsys.readouterr()
    assert (
        said.out == ""
        and "forged (forged-net), 3 files" in said.err
        and "weights fp32, within 2e-07 of PyTorch" in said.err
    )
    assert "removed from the loop: 1 of 3 nodes, 4 of 10 MB of weights, 2 of 12 MFLOP" in said.err.splitlines()


def test_json_is_one_object(calls: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("in", "-o", "out", "--json") == 0
    bundle = Bundle.open(tmp_path)
    assert json.loads(capsys.readouterr().out) == {
        "path": os.fspath(tmp_path),
        "name": "forged",
        "family": "forged-net",
        "digest": bundle.digest,
        "dtype": "fp16",
        "bytes": sum(entry.size for entry in bundle.manifest.files.values()),
        "relative_error": 2e-7,
        "saving": asdict(SAVING),
    }


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["x"], "-o/--output"),
        (["-o", "y"], "CHECKPOINT"),
        (["x", "-o", "y", "--dtype", "int8"], "--dtype"),
        (["absent", "-o", "y"], "absent: not a folder that can be opened"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(arguments: list[str], match: str) -> None:
    with pytest.raises(InputError, match=match):
        run(*arguments)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(MissingDependencyError, match=r"needs onnxscript; pip install 'fewstep\[export\]'"):
        run("x", "-o", "y")

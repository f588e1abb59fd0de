"""A stage takes only what is known when it runs, and says so in the manifest to the last size."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from forged_bundle import Forgery
from small_bundle import write_bundle
from staged_bundle import add_stages_to

from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import STAGES
from fewstep.engine.reading.manifest_reader import parse_manifest
from fewstep.errors import BundleError, InputError
from fewstep.export.bundle import manifest_json

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    return add_stages_to(write_bundle(tmp_path_factory.mktemp("staged") / "small"))


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "bundle.json").read_text())
    return found


def test_the_stages_come_in_the_order_they_run(folder: Path) -> None:
    bundle = Bundle.open(folder)
    component = bundle.manifest.components["denoiser"]
    assert tuple(component.stages) == STAGES
    for name, stage in component.stages.items():
        assert bundle.session_inputs("denoiser", name)[0] == (folder / stage.graph).read_bytes()
    assert parse_manifest(manifest_json(bundle.manifest)) == bundle.manifest


def test_a_bundle_of_version_1_has_none(tmp_path: Path) -> None:
    assert Bundle.open(Forgery().write(tmp_path)).manifest.components["denoiser"].stages == {}


def test_a_network_that_nobody_staged_has_none() -> None:
    forgery = Forgery()
    forgery.manifest["version"] = 2
    forgery.manifest["components"]["denoiser"]["stages"] = {}
    assert parse_manifest(forgery.json()).components["denoiser"].stages == {}


def swap_inputs(stages: dict[str, Any]) -> None:
    stages["tables"]["inputs"], stages["prompt"]["inputs"] = stages["prompt"]["inputs"], stages["tables"]["inputs"]


def rename_a_crossing_value(stages: dict[str, Any]) -> None:
    stages["tables"]["outputs"][0]["name"] = "other"


def resize_a_crossing_value(stages: dict[str, Any]) -> None:
    stages["modulation"]["outputs"][0]["shape"][1] += 1


def retype_a_crossing_value(stages: dict[str, Any]) -> None:
    stages["tables"]["outputs"][0]["dtype"] = "int64"


def read_the_step(stages: dict[str, Any]) -> None:
    stages["prompt"]["inputs"].append(stages["step"]["outputs"][0])


def make_a_name_twice(stages: dict[str, Any]) -> None:
    stages["prompt"]["outputs"][0]["name"] = stages["tables"]["outputs"][0]["name"]


def make_an_input(stages: dict[str, Any]) -> None:
    stages["tables"]["outputs"].append({"name": "x", "dtype": "float32", "shape": ["B", 3, 8, 8]})


def take_twice(stages: dict[str, Any]) -> None:
    stages["step"]["inputs"].append(stages["step"]["inputs"][0])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda stages: stages.pop("step"), "stages: step is missing"),
        (lambda stages: stages.pop("tables"), r"stages\.modulation\.inputs: expected what is known before it runs"),
        (lambda stages: stages.update(warmup=stages["tables"]), "only the keys of docs/bundle.md, got 'warmup'"),
        (lambda stages: stages["step"].update(graph="denoiser.onnx"), "stages: expected names that differ"),
        (lambda stages: stages["step"].update(graph="absent.onnx"), "file absent.onnx is not listed in files"),
        (lambda stages: stages["step"].update(graph="../step.onnx"), "a plain file name"),
        (lambda stages: stages["step"].update(weights=[]), "only the keys of docs/bundle.md"),
        (
            lambda stages: stages["step"]["outputs"][0]["shape"].append(1),
            "step.outputs: expected those of the component",
        ),
        (lambda stages: stages["tables"].update(outputs=[]), "1 to 4096 values"),
        (lambda stages: stages["tables"]["outputs"][0].update(dtype="bfloat16"), "dtype: expected one of"),
        (lambda stages: stages["tables"]["outputs"][0].update(shape=[1, 16]), "'B' as the first axis"),
        (swap_inputs, r"stages\.tables\.inputs: expected what is known before it runs, \['t'\]"),
        (rename_a_crossing_value, "inputs: expected what is known"),
        (resize_a_crossing_value, "inputs: expected what is known"),
        (retype_a_crossing_value, "inputs: expected what is known"),
        (read_the_step, r"stages\.prompt\.inputs: expected what is known"),
        (make_a_name_twice, "outputs: expected names that differ"),
        (make_an_input, "outputs: expected names that differ"),
        (take_twice, r"stages\.step\.inputs: expected names that differ"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", None),
)
def test_illegal_stages_are_named(document: dict[str, Any], change: Change, match: str) -> None:
    changed = copy.deepcopy(document)
    change(changed["components"]["denoiser"]["stages"])
    with pytest.raises(InputError, match=match):
        parse_manifest(json.dumps(changed).encode())


def test_a_stage_is_checked_like_the_whole_graph(folder: Path, tmp_path: Path) -> None:
    """Its inputs and outputs, its operators, and where its weights lie."""
    whole = Bundle.open(folder)
    stages = whole.manifest.components["denoiser"].stages
    outside = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", "/etc/passwd"), ("offset", "0"), ("length", "16")):
        outside.external_data.add(key=key, value=value)
    changes: list[tuple[Callable[[onnx.GraphProto], object], str]] = [
        (lambda graph: graph.initializer.append(outside), "a place in no file, as the component lists none"),
        (lambda graph: setattr(graph.output[0], "name", "other"), "outputs: expected"),
        (lambda graph: graph.node.add(op_type="EPContext"), "EPContext operator opens a file"),
    ]
    for change, match in changes:
        for name, stage in stages.items():
            model = onnx.load_from_string(whole.files[stage.graph])
            change(model.graph)
            forged = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
            forged.mkdir()
            document = json.loads((folder / "bundle.json").read_text())
            files = {**whole.files, stage.graph: model.SerializeToString()}
            del document["files"]
            Forgery(document, files).write(forged)
            with pytest.raises(BundleError, match=rf"{stage.graph}.*{match}"):
                Bundle.open(forged)

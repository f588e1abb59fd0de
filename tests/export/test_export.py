import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto
from safetensors.torch import load_file, save_file
from tiny_model import CONFIG, tiny_network, write_checkpoint

from fewstep.engine.bundle import Bundle
from fewstep.errors import InputError, OutputError
from fewstep.export.component import TOLERANCE, graph_error
from fewstep.export.export import example, export_checkpoint
from fewstep.export.weights import LARGE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> onnx.ModelProto:
    return onnx.load(tiny_bundle / "denoiser.onnx", load_external_data=False)


@pytest.mark.parametrize("B", [1, 3])
def test_plain_onnxruntime_computes_what_the_network_does(tiny_bundle: Path, B: int) -> None:
    session = ort.InferenceSession(tiny_bundle / "denoiser.onnx", providers=["CPUExecutionProvider"])
    inputs = example(tiny_network(), B)
    (found,) = session.run(["F"], {name: values.numpy() for name, values in inputs.items()})
    with torch.no_grad():
        expected = tiny_network()(*inputs.values()).numpy()
    assert found.shape == (B, 3, 16, 16)
    assert np.abs(found - expected).max() <= TOLERANCE / 10 * np.abs(expected).max()


def test_every_input_matters(tiny_bundle: Path) -> None:
    """An exporter that froze an input would pass a comparison at the inputs it was frozen at."""
    session = ort.InferenceSession(tiny_bundle / "denoiser.onnx", providers=["CPUExecutionProvider"])
    first = example(tiny_network(), 1)
    labels = (first["labels"] + 1) % torch.tensor(CONFIG.labels)
    second = {"x": -first["x"], "t": first["t"] / 3, "labels": labels}
    (base,) = session.run(None, {k: v.numpy() for k, v in first.items()})
    for name in first:
        (other,) = session.run(None, {k: v.numpy() for k, v in {**first, name: second[name]}.items()})
        assert np.abs(other - base).max() > 1e-3, name


def test_the_comparison_sees_one_wrong_weight(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    graph, ((_, weights),) = bundle.session_inputs("denoiser")
    network = tiny_network()
    given, stored = example(network, 3), {"denoiser.safetensors": weights}
    assert graph_error(graph, stored, network, given) < TOLERANCE
    with torch.no_grad():
        network.middle.conv2.weight[0, 0, 1, 1] += 0.1
    assert graph_error(graph, stored, network, given) > TOLERANCE


def test_the_checker_passes(tiny_bundle: Path) -> None:
    onnx.checker.check_model(tiny_bundle / "denoiser.onnx", full_check=True)


def test_the_graph_has_the_manifest_s_inputs_and_opset(model: onnx.ModelProto) -> None:
    axes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert axes == {"x": ["B", 3, 16, 16], "t": ["B"], "labels": ["B", 3], "F": ["B", 3, 16, 16]}
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]


def test_nothing_of_the_machine_is_left(tiny_bundle: Path) -> None:
    data = (tiny_bundle / "denoiser.onnx").read_bytes()
    for trace in (b"/work", b"/root", b"/home", b".py", b"fewstep.export", b"stack_trace", b"torch", b"<class"):
        assert trace not in data, trace


def test_large_weights_are_stored_once_by_their_names(tiny_bundle: Path, model: onnx.ModelProto) -> None:
    stored = load_file(tiny_bundle / "denoiser.safetensors")
    state = tiny_network().state_dict()
    assert {name for name, values in state.items() if values.numel() >= LARGE} <= stored.keys()
    for name, values in stored.items():
        assert values.dtype == torch.float16
        torch.testing.assert_close(values.float(), state[name], rtol=0, atol=0)
    inside = [t for t in model.graph.initializer if t.data_location != TensorProto.EXTERNAL]
    assert max(np.prod(t.dims) for t in inside) < LARGE
    casts = [node.input[0] for node in model.graph.node if node.op_type == "Cast" and node.input[0] in stored]
    assert sorted(casts) == sorted(stored)


def test_the_same_checkpoint_gives_the_same_bytes(tiny_bundle: Path, checkpoint: Path, tmp_path: Path) -> None:
    """In another process, of another hash seed, through the command line."""
    code = (
        "import sys; from fewstep.cli import export; from fewstep.cli.parser import Parser\n"
        "parser = Parser(prog='fewstep'); export.add_parser(parser.add_subparsers())\n"
        "args = parser.parse_args(['export', *sys.argv[1:]]); sys.exit(args.run(args))"
    )
    command = [sys.executable, "-c", code, str(checkpoint), "-o", str(tmp_path / "again"), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": "7"})
    row = json.loads(done.stdout)
    assert row["digest"] == Bundle.open(tiny_bundle).digest and row["relative_error"] < TOLERANCE
    for path in tiny_bundle.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name
    assert done.stderr == ""


def test_fp32_storage_has_no_casts(tiny_bundle: Path, checkpoint: Path, tmp_path: Path) -> None:
    out = shutil.copytree(tiny_bundle, tmp_path / "wide")
    export = export_checkpoint(checkpoint / "model.safetensors", out, dtype="fp32", overwrite=True)
    assert export.relative_error < TOLERANCE
    stored = load_file(out / "denoiser.safetensors")
    assert {values.dtype for values in stored.values()} == {torch.float32}
    model = onnx.load(out / "denoiser.onnx")
    assert not any(node.op_type == "Cast" and node.input[0] in stored for node in model.graph.node)


@pytest.mark.parametrize("dtype", ["bf16", "", None, 16], ids=repr)
def test_another_dtype_is_refused(checkpoint: Path, tmp_path: Path, dtype: str) -> None:
    with pytest.raises(InputError, match="dtype: expected one of fp16, fp32, got"):
        export_checkpoint(checkpoint, tmp_path / "out", dtype=dtype)


def test_a_destination_that_is_there_is_refused_at_once(tiny_bundle: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        export_checkpoint("no checkpoint", tiny_bundle)


@pytest.mark.parametrize("name", ["denoiser.onnx", "denoiser.safetensors", "bundle.json"])
def test_no_included_file_takes_the_place_of_the_bundle_s_own(tmp_path: Path, name: str) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", include=[name])
    (checkpoint / name).write_text("{}")
    with pytest.raises(InputError, match="include: expected other names"):
        export_checkpoint(checkpoint, tmp_path / "out")


def test_a_weight_that_fp16_cannot_hold_is_named(checkpoint: Path, tmp_path: Path) -> None:
    path = checkpoint / "model.safetensors"
    state = {key: values.float() for key, values in load_file(path).items()}
    state["conv_in.weight"][0, 0, 0, 0] = 1e5
    state["middle.conv1.weight"][0, 0, 0, 0] = 1e5
    save_file(state, path)
    with pytest.raises(InputError, match=r"weight middle\.conv1\.weight: .*fit float16, .*use --dtype fp32"):
        export_checkpoint(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_ten_lines_of_the_documentation_run(tiny_bundle: Path, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "bundle.md").read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line and not line.startswith("import ")]) <= 10
    folder = shutil.copytree(tiny_bundle, tmp_path / "moved")
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True)
    shape, spread = done.stdout.strip().rsplit(" ", 1)
    assert shape == "(3, 3, 16, 16)" and float(spread) > 0.1


def test_the_documentation_names_every_key(tiny_bundle: Path) -> None:
    text = (ROOT / "docs" / "bundle.md").read_text()
    manifest = Bundle.open(tiny_bundle).manifest
    keys = {*vars(manifest), *vars(manifest.components["denoiser"]), *vars(manifest.image), *vars(manifest.latent)}
    keys |= {*vars(manifest.labels[0]), *vars(manifest.schedule), *vars(manifest.license), "size", "sha256", "include"}
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []

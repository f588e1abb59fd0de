"""Whatever is wrong: one line on standard error, exit code 1 or 2, no traceback, nothing left behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import onnx
import pytest
from onnx import TensorProto, external_data_helper
from small_bundle import graph, write_bundle

from fewstep.api import load
from fewstep.cli import generate
from fewstep.cli.main import main
from fewstep.errors import BundleError

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "small")


def refused(argv: Sequence[str], code: int, message: str, out: Path, capsys: Capture) -> None:
    before = sorted(out.iterdir())
    assert main(argv) == code
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and len(printed.err) < 4100
    assert printed.err.startswith("fewstep: error: ") and message in printed.err and "Traceback" not in printed.err
    assert sorted(out.iterdir()) == before


STEPS = "steps: small was distilled for 1, 2, 4 steps, got"
SEED = "seed: expected an integer from 0 to 18446744073709551615"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--steps", "0"], f"{STEPS} 0"),
        (["--steps", "-1"], f"{STEPS} -1"),
        (["--steps", "9"], f"{STEPS} 9"),
        (["--steps", "1.5"], "--steps: expected a whole number, got '1.5'"),
        (["--steps", "True"], "--steps: expected a whole number, got 'True'"),
        (["--seed", "-1"], SEED),
        (["--seed", str(2**64)], SEED),
        (["--seed", "abc"], "--seed: expected a whole number, got 'abc'"),
        (["-n", "0"], "n: expected an integer from 1 to 1024, got 0"),
        (["-n", str(10**9)], "n: expected an integer from 1 to 1024, got 1000000000"),
        (["--label", "planetz"], "unknown label 'planetz', did you mean planets"),
        (["--label", "green"], "may mean background or color"),
        (["--label", "class=unicorn"], "unknown class 'unicorn'"),
        (["--prompt", ""], "no word of the prompt '' is known; the vocabulary is class: critters"),
        (["--prompt", "one\nunicorn"], "no word of the prompt"),
        (["--prompt", "caf\udce9 critter"], "lone surrogate"),
        (["--prompt", "x" * 40000], "at most 32000 characters"),
        (["-m", "toonz16"], "unknown model 'toonz16'"),
        (["-m", "x\ny"], "unknown model 'x\\ny'"),
        (["-W", "9"], "width: small makes 8 x 8, got 9"),
        (["--height", "0"], "height: small makes 8 x 8, got 0"),
        (["--scale", "0"], "scale: expected an integer from 1 to 2047"),
        (["--scale", "99999"], "scale: expected an integer from 1 to 2047"),
        (["--layout", "grid"], "--layout: invalid choice: 'grid'"),
        (["-n", "2", "--layout", "single"], "layout single: expected one picture, got 2"),
        (["--threads", "0"], "threads: expected an integer from 1 to 256"),
        (["--device", "tpu"], "device: expected one of auto, cpu, cuda"),
        (["--backend", "jax"], "backend: expected one of auto, native, onnxruntime, torch"),
        (["--backend", "torch"], "backend: torch runs checkpoints, got the bundle"),
        (["--family", "sd-turbo"], "family: expected with a published checkpoint alone"),
        (["--loras", "a=b"], "--loras: expected FILE or FILE=STRENGTH, got 'a=b'"),
        (["--size", "3"], "--size: expected a width and a height such as 512x512, got '3'"),
        (["-o", "picture"], "output: expected a name ending in .png, .jpg, .jpeg, .webp, got 'picture'"),
        (["-o", "picture.gif"], "output: expected a name ending in .png, .jpg, .jpeg, .webp, got 'picture.gif'"),
        (["-o", ""], "output: expected the name of a file, got ''"),
        (["-o", "a.png/"], "output: expected the name of a file, not of a folder, got 'a.png/'"),
        (["-o", "a\ud800.png"], "output: expected a name that utf-8 can write"),
        (["-o", f"{'x' * 9000}.gif"], "output: expected a name ending in .png"),
        (["--stepz", "2"], "unrecognized arguments: --stepz 2"),
        (["\x1b[31m\u202e"], "unrecognized arguments: \\x1b[31m\\u202e"),
        (["x" * 10**5], "unrecognized arguments: xxx"),
        (["--ste", "2"], "unrecognized arguments: --ste 2"),
        (["--steps"], "--steps: expected one argument"),
        (["picture.png"], "unrecognized arguments: picture.png"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_bad_requests(folder: Path, tmp_path: Path, capsys: Capture, flags: list[str], message: str) -> None:
    argv = ["generate", "-m", str(folder), "-o", str(tmp_path / "a.png"), *flags]
    refused(argv, 2, message, tmp_path, capsys)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["generat"], "invalid choice: 'generat'"),
        (["inspect"], "the following arguments are required: MODEL"),
        (["inspect", "nothing"], "unknown model 'nothing'"),
    ],
)
def test_bad_commands(tmp_path: Path, capsys: Capture, argv: list[str], message: str) -> None:
    refused(argv, 2, message, tmp_path, capsys)


def test_a_folder_that_is_no_bundle(tmp_path: Path, capsys: Capture) -> None:
    refused(["generate", "-m", str(tmp_path)], 2, "is no bundle: it has no bundle.json", tmp_path, capsys)


def wrong_digest(folder: Path) -> None:
    data = bytearray((folder / "denoiser.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "denoiser.onnx").write_bytes(data)


def missing_file(folder: Path) -> None:
    (folder / "denoiser.onnx").unlink()


def truncated_file(folder: Path) -> None:
    (folder / "denoiser.onnx").write_bytes(graph()[:-50])


def truncated_onnx(folder: Path) -> None:
    write_bundle(folder, onnx_bytes=graph()[:-50])


def rubbish_onnx(folder: Path) -> None:
    write_bundle(folder, onnx_bytes=b"\x00" * 1000)


def external_data_outside(folder: Path) -> None:
    model = onnx.ModelProto.FromString(graph())
    tensor = model.graph.initializer[0]
    (folder.parent / "secret").write_bytes(tensor.raw_data)
    external_data_helper.set_external_data(tensor, location="../secret", offset=0, length=len(tensor.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    write_bundle(folder, onnx_bytes=model.SerializeToString())


def symlink_out(folder: Path) -> None:
    (folder / "denoiser.onnx").rename(folder.parent / "outside.onnx")
    (folder / "denoiser.onnx").symlink_to(folder.parent / "outside.onnx")


def manifest_names_outside(folder: Path) -> None:
    path = folder / "bundle.json"
    path.write_text(path.read_text().replace('"denoiser.onnx"', '"../denoiser.onnx"'))


def manifest_rubbish(folder: Path) -> None:
    (folder / "bundle.json").write_text("{")


def manifest_of_the_future(folder: Path) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 3}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (wrong_digest, "denoiser.onnx"),
        (missing_file, "denoiser.onnx"),
        (truncated_file, "denoiser.onnx"),
        (truncated_onnx, "denoiser.onnx"),
        (rubbish_onnx, "denoiser.onnx"),
        (external_data_outside, "secret"),
        (symlink_out, "denoiser.onnx"),
        (manifest_names_outside, "bundle.json"),
        (manifest_rubbish, "bundle.json"),
        (manifest_of_the_future, "version"),
    ],
)
@pytest.mark.parametrize("command", ["generate", "inspect"])
def test_damaged_bundles(
    tmp_path: Path, capsys: Capture, damage: Callable[[Path], None], message: str, command: str
) -> None:
    folder, out = write_bundle(tmp_path / "bundle"), tmp_path / "out"
    out.mkdir()
    damage(folder)
    argv = (
        ["generate", "-m", str(folder), "-o", str(out / "a.png")] if command == "generate" else ["inspect", str(folder)]
    )
    refused(argv, 1, message, out, capsys)
    with pytest.raises(BundleError):
        load(folder)


def test_outputs_that_cannot_be_written(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "d.png").mkdir()
    for output, message in (
        (tmp_path / "no" / "a.png", "does not exist; create it first"),
        (tmp_path / "d.png", "not a regular file"),
        (Path("/proc/a.png"), "cannot write '/proc/a.png'"),  # a folder where even root may not write
        (tmp_path / f"{'x' * 300}.png", "File name too long"),
        (folder / "bundle.json" / "a.png", "cannot write"),
    ):
        refused(["generate", "-m", str(folder), "-o", str(output)], 1, message, tmp_path, capsys)


def inspect(folder: Path, stdout: IO[str] | int) -> "subprocess.CompletedProcess[str]":
    code = "import sys; from fewstep.cli.main import main; sys.exit(main())"
    argv = [sys.executable, "-c", code, "inspect", str(folder)]
    return subprocess.run(argv, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


def test_a_full_disk(folder: Path, tmp_path: Path) -> None:
    """What a full disk does, by the kernel: no file may grow beyond 100 bytes."""
    code = (
        "import resource, sys; from fewstep.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); sys.exit(main())"
    )
    argv = [sys.executable, "-c", code, "generate", "-m", str(folder), "-n", "3", "-o", str(tmp_path / "a.png")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == f"fewstep: error: cannot write '{tmp_path}/a-0001.png': File too large\n"
    assert list(tmp_path.iterdir()) == []


def test_standard_output_that_is_full(folder: Path, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = inspect(folder, full)
    assert done.returncode == 1 and "No space left on device" in done.stderr and done.stderr.count("\n") == 1


def test_a_reader_that_leaves(folder: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = inspect(folder, write)
    finally:
        os.close(write)
    assert done.returncode == 1 and done.stderr == "fewstep: error: nobody reads the output any more (broken pipe)\n"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("odd\nthing"), 1, "unexpected RuntimeError: odd thing; set FEWSTEP_DEBUG=1 for the traceback"),
        (AssertionError(), 1, "unexpected AssertionError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_surprises(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    def surprise(args: object) -> int:
        raise error

    monkeypatch.setattr(generate, "run", surprise)
    refused(["generate"], code, message, tmp_path, capsys)
    if isinstance(error, RuntimeError):
        monkeypatch.setenv("FEWSTEP_DEBUG", "1")
        with pytest.raises(RuntimeError):
            main(["generate"])

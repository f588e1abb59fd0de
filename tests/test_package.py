import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import metadata, version
from importlib.resources import files
from pathlib import Path

import pytest
from scikit_build_core.build import build_sdist, build_wheel

import fewstep
from fewstep import errors
from fewstep.api import shipped_models

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HEAVY = {"torch", "onnxruntime", "onnx", "triton", "diffusers", "transformers"}


def in_a_fresh_interpreter(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return run.stdout


def test_import_is_light() -> None:
    """Beside numpy's own import, which a busy machine slows as much."""
    code = (
        "import time, sys, json; start = time.process_time(); import numpy; numpy_is_in = time.process_time()\n"
        "import fewstep; end = time.process_time()\n"
        "print(json.dumps([(end - numpy_is_in) / (numpy_is_in - start), sorted(sys.modules)]))"
    )
    runs = [json.loads(in_a_fresh_interpreter(code)) for _ in range(3)]
    assert not HEAVY & set(runs[0][1])
    assert min(share for share, _ in runs) < 1


def test_the_public_names_are_there_and_nothing_else() -> None:
    public = {name for name in dir(fewstep) if not name.startswith("_")}
    assert set(fewstep.__all__) <= public | {"__version__"}
    modules = {name for name in public if f"fewstep.{name}" in sys.modules}
    assert public - modules == set(fewstep.__all__) - {"__version__"}


def test_every_error_is_public_and_of_the_one_hierarchy() -> None:
    classes = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert classes <= set(fewstep.__all__)
    assert all(issubclass(getattr(fewstep, name), fewstep.FewstepError) for name in classes)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        fewstep.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_the_installed_version_is_that_of_the_package() -> None:
    assert version("fewstep") == fewstep.__version__


def test_the_package_is_typed_and_brings_its_licence() -> None:
    assert files("fewstep").joinpath("py.typed").is_file()
    assert metadata("fewstep")["License-Expression"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_the_base_install_has_what_a_cpu_needs_and_nothing_else() -> None:
    names = {requirement.split(">")[0] for requirement in PROJECT["dependencies"]}
    assert names == {"numpy", "onnxruntime", "pillow", "safetensors"}


def test_the_links_at_the_top_lead_to_the_layers() -> None:
    for name in ("engine", "kernels", "export"):
        assert (ROOT / name).resolve() == ROOT / "src" / "fewstep" / name


def package_files() -> set[str]:
    """What the distributions must hold of src/, the shipped models included."""
    paths = (path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT / "src").as_posix() for path in paths if path.suffix != ".so"}


def test_the_sdist_holds_the_package_and_no_second_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with tarfile.open(tmp_path / build_sdist(str(tmp_path))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in package_files()} | {"CMakeLists.txt", "runtime/src/noise.cc", "LICENSE"} <= names
    assert not {"engine", "kernels", "export", "runs", "out", "build", ".venv"} & {name.split("/")[0] for name in names}


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    wheel = build_wheel(str(tmp_path), {"wheel.cmake": "false"})
    with zipfile.ZipFile(tmp_path / wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == package_files()


def test_every_model_in_the_package_is_found_by_name() -> None:
    folders = {path.parent.name for path in (ROOT / "src" / "fewstep" / "models").glob("*/bundle.json")}
    assert set(shipped_models()) == folders

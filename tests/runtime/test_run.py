"""fewstep-run and libfewstep.so make the pictures that the program makes from Python, and say what is wrong."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
from native_files import native_file
from numpy.typing import NDArray
from PIL import Image

from fewstep import __version__, _runtime
from fewstep.api import open_model
from fewstep.engine.image import contact_sheet
from fewstep.engine.request import drawn_value
from fewstep.export.lower.generation import compile_bundle
from fewstep.export.lower.plan_file import write_plan

SEEDS, STEPS = [7, 8, 9], 2
ROOM = 2_000_000  # bytes of the stripped library


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "toons16.fsp"
    write_plan(path, *compile_bundle(open_model("toons16"), steps=[STEPS], batch=2))
    return path


@pytest.fixture(scope="module")
def images(plan: Path) -> NDArray[np.uint8]:
    """Pictures of SEEDS by the binding: the class is critters, the other labels are drawn from the seeds."""
    tables = open_model("toons16").manifest.labels
    rows = [[drawn_value(seed, i, len(table.values)) for i, table in enumerate(tables)] for seed in SEEDS]
    for row in rows:
        row[0] = tables[0].values.index("critters")
    program = _runtime.Program(plan)
    pairs = [
        program.run({"seeds": np.array([SEEDS[i], SEEDS[j]]), "labels": np.array([rows[i], rows[j]])}, STEPS)["images"]
        for i, j in ((0, 1), (2, 2))
    ]
    return np.concatenate(pairs)[: len(SEEDS)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(native_file("fewstep-run")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_sheet_is_the_pictures_of_the_program(plan: Path, images: NDArray[np.uint8], tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    ran = run(plan, "--seed", 7, "-n", 3, "--steps", STEPS, "--label", "class=critters", "--threads", 2, "-o", out)
    assert ran.returncode == 0, ran.stderr
    with Image.open(out) as picture:
        np.testing.assert_array_equal(np.asarray(picture), contact_sheet(images))
    assert list(tmp_path.iterdir()) == [out]


def test_what_is_wrong_is_one_line_and_a_status(plan: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.fsp"
    bad.write_bytes(b"\xff" * 99)
    out = tmp_path / "out.png"
    cases: list[tuple[tuple[object, ...], int, str]] = [
        ((), 2, "expected a plan"),
        ((plan, plan), 2, "expected one plan"),
        ((plan, "--sed", 1), 2, "no option is named --sed"),
        ((plan, "--seed"), 2, "--seed: expected a value"),
        ((plan, "--seed", -1), 2, "--seed: expected an integer from 0 to 18446744073709551615"),
        ((plan, "-n", 0), 2, "-n: expected an integer from 1"),
        ((plan, "--label", "class"), 2, "--label: expected TABLE=VALUE"),
        ((plan, "--label", "class=dragons"), 2, "class is one of critters"),
        ((plan, "--label", "size=big"), 2, "no table is named size: the plan has class"),
        ((plan, "--steps", 3, "-o", out), 2, "steps must be one of 2, got 3"),
        ((bad, "-o", out), 1, "bad.fsp"),
        ((plan, "-o", tmp_path / "none" / "out.png"), 1, "cannot be written"),
    ]
    for arguments, status, message in cases:
        ran = run(*arguments)
        assert (ran.returncode, ran.stderr.count("\n"), message in ran.stderr) == (status, 1, True), ran.stderr
    assert not out.exists()
    assert run("--help").stdout.startswith("usage: fewstep-run PLAN")


def test_the_library_makes_the_same_pictures_from_c(plan: Path, images: NDArray[np.uint8]) -> None:
    library = ctypes.CDLL(str(native_file("libfewstep.so")))
    library.fewstep_version.restype = ctypes.c_char_p
    library.fewstep_width.argtypes = library.fewstep_close.argtypes = [ctypes.c_void_p]
    assert library.fewstep_version().decode() == __version__
    program, message = ctypes.c_void_p(), ctypes.create_string_buffer(200)
    opened = library.fewstep_open(str(plan).encode(), None, ctypes.byref(program), message, ctypes.c_size_t(200))
    assert opened == 0, message.value
    assert library.fewstep_width(program) == images.shape[2]
    tables = open_model("toons16").manifest.labels
    rows = np.array([[drawn_value(seed, i, len(table.values)) for i, table in enumerate(tables)] for seed in SEEDS])
    rows[:, 0] = tables[0].values.index("critters")
    rgb, seeds = np.zeros_like(images), np.array(SEEDS, np.uint64)
    status = library.fewstep_generate(
        program, seeds.ctypes, ctypes.c_int64(3), rows.ctypes, ctypes.c_int64(STEPS), rgb.ctypes,
        ctypes.c_size_t(rgb.nbytes), message, ctypes.c_size_t(200),
    )  # fmt: skip
    assert status == 0, message.value
    np.testing.assert_array_equal(rgb, images)
    library.fewstep_close(program)


def test_the_library_is_small_and_shows_its_functions_alone(tmp_path: Path) -> None:
    library, stripped = native_file("libfewstep.so"), tmp_path / "stripped.so"
    subprocess.run(["strip", "-o", stripped, library], check=True)
    assert stripped.stat().st_size < ROOM
    listing = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True)
    names = {line.split()[-1] for line in listing.stdout.splitlines()}
    header = (Path(__file__).parents[2] / "runtime" / "include" / "fewstep" / "fewstep.h").read_text()
    assert names == {name for name in names if name.startswith("fewstep_") and f" {name}(" in header}
    assert "fewstep_generate" in names

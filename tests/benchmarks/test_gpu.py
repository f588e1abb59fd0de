"""python -m benchmarks.gpu where there is no GPU: every path that can be."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from profile_cases import tiny_case

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import kernel_table, requests, runtime, tuning, worker
from benchmarks.gpu.goals import goals
from benchmarks.gpu.journal import Journal
from benchmarks.gpu.kernel_tests import outcomes
from benchmarks.gpu.session import AGAIN, Item, Row, Session
from benchmarks.gpu.stages import STAGES
from fewstep.export.families.catalogue import FAMILIES
from fewstep.kernels.ada_norm import ada_norm, ada_norm_cost, ada_norm_launches, ada_norm_ref
from fewstep.profile.case import normal

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="the dry run is for machines without a GPU")
ADA_NORM = tiny_case(
    op="ada_norm", fused=ada_norm, reference=ada_norm_ref, launches=ada_norm_launches, cost=ada_norm_cost, libraries={},
    make=lambda device, dtype, seed: {"x": normal(device, dtype, seed, 1, 2, 8)},
)  # fmt: skip


def rows(out: Path, stage: str, kind: str = "row") -> list[dict[str, Any]]:
    return [row for row in Journal(out / "rows.jsonl").rows() if (row["stage"], row["kind"]) == (stage, kind)]


def work(stage: str, out: Path, *more: str) -> int:
    before = signal.getsignal(signal.SIGTERM)
    try:
        return worker.main([stage, "--out", str(out), "--rounds", "1", *more])
    finally:
        signal.signal(signal.SIGTERM, before)


@no_gpu
def test_one_command_says_that_there_is_no_gpu_and_ends_well(tmp_path: Path) -> None:
    module = [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path), "--stages", "facts", "--minutes", "1"]
    done = subprocess.run(module, cwd=runtime.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no CUDA device answers; a dry run" in done.stdout
    assert [row["kind"] for row in Journal(tmp_path / "rows.jsonl").rows()] == ["started", "started", "row", "done"]
    (row,) = rows(tmp_path, "facts")
    assert row["torch"] == torch.__version__.partition("+")[0] or row["torch"] == torch.__version__
    assert row["machine"]["packages"]["torch"] and row["device"] == "cpu"


@no_gpu
def test_the_stages_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_table, "CASES", [ADA_NORM, tiny_case()])
    monkeypatch.setattr(requests, "FAMILIES", ("cd_imagenet64",))
    for stage in ("ceilings", "kernels", "pipelines"):
        assert work(stage, tmp_path, "--commit", "abc") == 0
        assert not rows(tmp_path, stage, "failed") and all(row["commit"] == "abc" for row in rows(tmp_path, stage))
    assert rows(tmp_path, "ceilings")[0]["ceilings"]["copy"] > 0
    assert [row["measured"]["op"] for row in rows(tmp_path, "kernels")] == ["ada_norm", "double"]
    assert rows(tmp_path, "pipelines")[0]["peers"]["eager"]["total"]["p50"] > 0


def test_the_tuner_writes_beside_the_rows(tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Triton's interpreter, the times being whatever they are."""
    monkeypatch.setattr(tuning, "wall", lambda run: lambda: 1.0)
    session = Session("cpu", tmp_path)
    (row,) = tuning._measure(session, ADA_NORM) if device == "cpu" else [Row("", {"found": {"timed": 2}})]
    assert row.fields["found"]["timed"] == 2
    if device == "cpu":
        table = json.loads((tmp_path / "tuned" / "sm_80.json").read_text())
        assert table["ada_norm"] == {} and table["_measured"]["ada_norm"]["device"] == "none"
        refused = list(tuning._measure(session, tiny_case()))
        assert [row.line[:9] for row in refused] == ["not tuned"]


def test_outputs_without_a_truth_must_stay_the_first_s() -> None:
    agrees = tuning.Agreement(None)
    assert agrees(torch.ones(2)) and agrees((torch.ones(2),)) and not agrees(torch.zeros(2))


def stage_of(*items: Item) -> dict[str, Any]:
    return {"kernels": lambda session: iter(items)}


def fine() -> Iterator[Row]:
    yield Row("one", {"n": 1})
    yield Row("two", {"n": 2})


def fails() -> Iterator[Row]:
    yield Row("before", {"n": 0})
    raise RuntimeError("an illegal memory access")


def test_what_fails_is_recorded_and_the_next_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "STAGES", stage_of(("a", fails), ("b", fine)))
    journal, session = Journal(tmp_path / "rows.jsonl"), Session("cpu", tmp_path)
    assert worker.run(session, journal, "kernels", set()) == 0
    assert [row["n"] for row in rows(tmp_path, "kernels")] == [0, 1, 2]
    (failed,) = rows(tmp_path, "kernels", "failed")
    assert failed["item"] == "a" and "raise RuntimeError" in failed["traceback"]


def test_a_lost_device_ends_the_worker_and_the_next_goes_on_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "STAGES", stage_of(("a", fails), ("b", fine)))
    monkeypatch.setattr(worker, "_sound", lambda session: False)
    journal, session = Journal(tmp_path / "rows.jsonl"), Session("cuda", tmp_path)
    journal.write("run", "started")
    assert worker.run(session, journal, "kernels", journal.begun("kernels")) == AGAIN
    assert journal.begun("kernels") == {"a"}
    assert worker.run(session, journal, "kernels", journal.begun("kernels")) == AGAIN
    assert [row["item"] for row in rows(tmp_path, "kernels")] == ["a", "b", "b"]
    journal.write("run", "started")
    assert journal.begun("kernels") == set()


def test_out_of_time_nothing_more_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "STAGES", stage_of(("a", fine)))
    session = Session("cpu", tmp_path, until=time.time() - 1)
    assert worker.run(session, Journal(tmp_path / "rows.jsonl"), "kernels", set()) == 0
    assert rows(tmp_path, "kernels") == [] and len(rows(tmp_path, "kernels", "skipped")) == 1


def test_a_signal_loses_nothing_that_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> Iterator[Row]:
        yield Row("one", {"n": 1})
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        yield Row("two", {"n": 2})

    stages = {**STAGES, **stage_of(("a", interrupted), ("b", fine))}
    monkeypatch.setattr(worker, "STAGES", stages)
    assert work("kernels", tmp_path) == 0
    assert [row["n"] for row in rows(tmp_path, "kernels")] == [1]
    assert [row["item"] for row in rows(tmp_path, "kernels", "interrupted")] == ["a"]


def test_a_worker_is_asked_to_stop_and_then_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "GRACE", 0.5)
    script = [sys.executable, "-c"]
    assert command.supervise([*script, "pass"], time.time() + 60) == 0
    assert command.supervise([*script, "raise SystemExit(7)"], time.time() + 60) == 7
    assert command.supervise([*script, "import time; time.sleep(60)"], time.time() + 0.5) == -signal.SIGTERM
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    assert command.supervise([*script, deaf], time.time() + 1) == -signal.SIGKILL


def test_a_worker_that_dies_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bool] = []
    codes = iter([AGAIN, -11, 0])

    def supervise(worker: list[str], until: float) -> int:
        started.append("--resume" in worker)
        return next(codes)

    monkeypatch.setattr(command, "supervise", supervise)
    journal = Journal(tmp_path / "rows.jsonl")
    command.run_stage(journal, "kernels", time.time() + 60, [])
    assert started == [False, True, True]
    assert [row["code"] for row in rows(tmp_path, "kernels", "died")] == [AGAIN, -11]
    codes = iter([1, 0])
    command.run_stage(journal, "tests", time.time() + 60, [])
    assert len(started) == 4  # what is wrong with the worker itself is not tried again


def test_rows_that_were_cut_off_are_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a" / "rows.jsonl", device="a card")
    journal.write("facts", "row", n=1)
    with journal.path.open("a") as file:
        file.write('{"stage": "facts", "ki')
    assert [(row["n"], row["device"]) for row in journal.rows()] == [(1, "a card")]


def test_outcomes_are_read_with_and_without_processes() -> None:
    log = """\
tests/kernels/test_a.py::test_one[fp16 1x2] PASSED                 [ 50%]
tests/kernels/test_a.py::test_two FAILED                           [100%]
[gw1] [ 25%] PASSED tests/kernels/test_b.py::test_three
[gw0] [ 25%] SKIPPED tests/kernels/test_b.py::test_four
[gw0] [ 25%] ERROR tests/kernels/test_b.py::test_five
FAILED tests/kernels/test_a.py::test_two - AssertionError: max error 1 > 0
"""
    counts, failing = outcomes(log)
    assert counts == {"PASSED": 2, "FAILED": 1, "SKIPPED": 1, "ERROR": 1}
    assert failing == ["tests/kernels/test_a.py::test_two", "tests/kernels/test_b.py::test_five"]


def test_every_stage_has_a_share_of_the_time_and_families_exist() -> None:
    assert list(command.SHARES) == list(STAGES) and set(requests.FAMILIES) <= set(FAMILIES)


def test_the_first_shape_of_each_operation_comes_first() -> None:
    cases = [tiny_case(op=op, shape=str(i)) for op, n in (("a", 3), ("b", 1), ("c", 2)) for i in range(n)]
    found = [case.name for case in kernel_table.by_turns(cases)]
    assert found == ["a 0", "b 0", "c 0", "a 1", "c 1", "a 2"]


def peer(p50: float, share: float = 0.5) -> dict[str, Any]:
    return {"seconds": {"p50": p50}, "share": share}


def test_goals_are_judged_by_what_was_measured() -> None:
    def kernel(op: str, beyond: bool, **peers: Any) -> dict[str, Any]:
        measured = {"op": op, "shape": "1", "dtype": "bfloat16", "beyond_cache": beyond, "peers": peers}
        return {"stage": "kernels", "kind": "row", "measured": measured}

    def request(family: str, **totals: float) -> dict[str, Any]:
        launches = {"host": 1, "device": 99}
        peers = {name: {"total": {"p50": p50}, "launches": launches} for name, p50 in totals.items()}
        return {"stage": "pipelines", "kind": "row", "family": family, "peers": peers}

    measured = [
        kernel("ada_norm", True, fused=peer(1.0, 0.9), eager=peer(2.0)),
        kernel("ada_norm", False, fused=peer(1.0, 0.1)),
        kernel("group_norm", True, fused={"seconds": None, "share": None}),
        kernel("attention", True, fused=peer(2.0), eager=peer(1.0), flash=peer(1.9), cudnn=peer(1.8)),
        request("sd-turbo", eager=9.0, captured=2.0),
        request("sd-turbo", compiled=2.5, captured=2.0),
        request("sdxl-turbo", eager=9.0, captured=2.0),
        {"stage": "kernels", "kind": "failed"},
    ]
    found = [(goal.wanted, goal.got) for goal in goals(measured)]
    assert found == [(0.85, 0.9), (0.95, 0.9), (4.0, 4.5), (1.0, 1.0), (1.3, 1.25), (1.0, 1.0)]


def test_the_runtime_is_built_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[str] = []

    def run(command: list[str], **_: Any) -> Any:
        commands.append(" ".join(command))
        if "--build" in command:
            (Path(command[2]) / runtime.NAME).write_bytes(b"an extension")
        elif "-B" in command:
            Path(command[command.index("-B") + 1]).mkdir(parents=True)
        return subprocess.CompletedProcess(command, 0, stdout="/cmake/of/nanobind\n")

    (tmp_path / "src" / "fewstep").mkdir(parents=True)
    answers = iter([False, True, True])
    monkeypatch.setattr(runtime, "ROOT", tmp_path)
    monkeypatch.setattr(runtime, "SOURCE", tmp_path / "src")
    monkeypatch.setattr(runtime, "importable", lambda: next(answers))
    monkeypatch.setattr(subprocess, "run", run)
    runtime.make_runtime()
    assert [path.name for path in (tmp_path / "src" / "fewstep").iterdir()] == [runtime.NAME]
    assert any("-Dnanobind_DIR=/cmake/of/nanobind" in command for command in commands) and len(commands) == 3
    runtime.make_runtime()
    assert len(commands) == 3


def test_a_runtime_that_cannot_be_built_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise FileNotFoundError("cmake")

    monkeypatch.setattr(command, "make_runtime", fails)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert command.main(["--out", str(tmp_path), "--stages", "facts"]) == 1
    assert "could not be built: cmake" in capsys.readouterr().out and rows(tmp_path, "run", "failed")


def test_a_stage_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--out", str(tmp_path), "--stages", "facts,benchmarks"])
    assert "expected some of facts, ceilings, tests" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_interpreted_without_a_gpu_and_compiled_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(runtime, "gpu_answers", lambda: True)
    assert "TRITON_INTERPRET" not in runtime.environment()
    monkeypatch.setattr(runtime, "gpu_answers", lambda: False)
    assert runtime.environment()["TRITON_INTERPRET"] == "1"
    assert runtime.environment()["PYTHONPATH"].startswith(str(runtime.SOURCE))

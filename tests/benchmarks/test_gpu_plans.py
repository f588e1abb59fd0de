"""The stage of compiled plans where there is no GPU, and what it does with one's answers."""

import ctypes
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.gpu import plan_files, plans, sanitizer, worker
from benchmarks.gpu.goals import goals
from benchmarks.gpu.graph_clock import GraphClock, loaded
from benchmarks.gpu.journal import Journal
from benchmarks.gpu.networks import NETWORKS
from benchmarks.gpu.plan_files import plan_path
from benchmarks.gpu.plan_peers import Peer
from benchmarks.gpu.session import Session
from benchmarks.random_network import random_weight
from fewstep.errors import BackendError

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="the dry run is for machines without a GPU")
DRIVER = """
static float now, at[8]; static int events;
int cuInit(unsigned flags) { (void)flags; return 7; }
int cuEventCreate(void** event, unsigned flags) { (void)flags; *event = &at[events++]; return 0; }
int cuEventRecord(void* event, void* stream) { (void)stream; *(float*)event = now; return 0; }
int cuEventSynchronize(void* event) { (void)event; return 0; }
int cuEventElapsedTime(float* ms, void* a, void* b) { *ms = *(float*)b - *(float*)a; return 0; }
int cuGraphLaunch(void* graph, void* stream) { (void)graph; now += stream ? 4.0f : 2.5f; return 0; }
"""


def rows(out: Path, kind: str = "row") -> list[dict[str, Any]]:
    return [row for row in Journal(out / "rows.jsonl").rows() if row["kind"] == kind]


@no_gpu
def test_every_plan_is_made_compared_and_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "NETWORKS", {"dit-xl": NETWORKS["dit-xl"]})
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert worker.main(["plans", "--out", str(tmp_path), "--plans", str(tmp_path), "--rounds", "1"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not rows(tmp_path, "failed")
    found = [(row["item"], row["what"]) for row in rows(tmp_path)]
    measured = ["plan", "parity", "requests", "host", "memory"]
    assert found == [("toons16", what) for what in measured] + [("toons16 memcheck", "memcheck")] + [
        ("dit-xl", what) for what in measured
    ] + [(f"toons16 {tool}", tool) for tool in ("racecheck", "initcheck")]
    by = {(row["item"], row["what"]): row for row in rows(tmp_path)}
    assert by["toons16", "parity"]["certificate"]["errors"]["onnxruntime"]["1"]["rms"] < 1e-5
    assert by["dit-xl", "parity"]["right"] is True
    for plan in ("toons16", "dit-xl"):
        row = by[plan, "requests"]
        assert set(row["peers"]) == {"plan", "eager", "onnxruntime"} and list(row["missing"]) == ["captured"]
        assert row["apart"]["onnxruntime"]["max"] <= 1 and row["peers"]["plan"]["p50"] > 0
        assert by[plan, "host"]["cost"] is None and by[plan, "memory"]["announced"] > 0
    assert by["toons16 memcheck", "memcheck"]["missing"] == "needs a GPU"
    assert plan_path(tmp_path, "dit-xl", None, "tiny").exists() and not by["dit-xl", "plan"]["was_there"]


def test_plans_are_chosen_and_what_takes_longest_comes_last(tmp_path: Path) -> None:
    def items(*families: str) -> list[str]:
        return [name for name, _ in plans.plans(Session("cuda", tmp_path, families=families))]

    assert items("dit-xl") == ["dit-xl", "dit-xl: plan+compiled"] and items("flux-schnell") == []
    assert items()[:3] == ["toons16", "toons16 memcheck", "sd-turbo"]
    assert items()[-3:] == [f"{name}: plan+compiled" for name in ("toons16", "sd-turbo", "dit-xl")]


def test_a_plan_that_is_there_is_taken(tmp_path: Path) -> None:
    session = Session("cpu", tmp_path, plans=tmp_path)
    path = plan_path(tmp_path, "dit-xl", None, "tiny")
    path.write_bytes(b"a plan")
    assert plans.made(session, "dit-xl") == (path, {"was_there": True, "make_seconds": 0.0, "file_bytes": 6})


def test_a_graph_can_be_made_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    monkeypatch.setattr(plan_files, "write_graph", lambda network, inputs, path: written.append(path))
    arguments = ["--folder", str(tmp_path), "--size", "tiny", "--graph"]
    assert plan_files.main(["dit-xl", *arguments]) == 0 and written == [tmp_path / "dit-xl-tiny.onnx"]
    with pytest.raises(SystemExit):
        plan_files.main(["toons16", *arguments])


def test_a_plan_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(command: list[str], **_: Any) -> Any:
        return subprocess.CompletedProcess(command, 1, "", "node conv: no kernel takes it")

    monkeypatch.setattr(subprocess, "run", fails)
    with pytest.raises(BackendError, match=r"the plan of dit-xl was not made: node conv: no kernel takes it"):
        plans.made(Session("cpu", tmp_path, plans=tmp_path), "dit-xl")


class Counting:
    """A plan on a device that falls back in every third run."""

    batch, runs = 1, 0

    def run(self) -> Any:
        self.runs += 1
        return np.ones(3, np.float32)

    def describe(self) -> str:
        fallbacks = self.runs // 3
        counted = {"graph_launches": self.runs - fallbacks, "fallbacks": fallbacks, "failed_captures": 1}
        return json.dumps({"arena": 1, "weights": 2, "message": "lost", "ops": [], **counted})


def test_what_the_device_counts_of_the_timed_requests_is_in_their_row(tmp_path: Path) -> None:
    plan: Any = Counting()

    def fails() -> Peer:
        raise RuntimeError("no engine")

    makers = {"plan": lambda: Peer(plan.run, plan.run), "captured": fails}
    session = Session("cuda", tmp_path, rounds=5)
    row = plans._requests(session, "toons16", plan, makers, ("plan", "captured"), 2).fields
    assert row["requests"] == 5 and row["counted"] == {"graph_launches": 3, "fallbacks": 2, "failed_captures": 0}
    assert row["missing"] == {"captured": "RuntimeError: no engine"} and row["message"] == "lost"
    assert "arena" in plans.described(plan) and "ops" not in plans.described(plan)


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    (tmp_path / "driver.c").write_text(DRIVER)
    library = tmp_path / "libstandin.so.1.2"
    command = ["cc", "-shared", "-fPIC", "-Wl,-soname,libstandin.so.1", "-o", str(library), str(tmp_path / "driver.c")]
    subprocess.run(command, check=True)
    return library


def test_the_clock_times_the_graph_and_leaves_the_driver_as_it_is(driver: Path) -> None:
    clock = GraphClock(driver.parent, str(driver))
    with pytest.raises(BackendError, match="expected a graph that was launched, got error 1"):
        clock.seconds()
    library = ctypes.CDLL(clock.driver)
    assert library.cuInit(0) == 7 and library.cuGraphLaunch(None, None) == 0
    assert clock.seconds() == 2.5e-3
    library.cuGraphLaunch(None, ctypes.c_void_p(1))
    assert clock.seconds() == 4e-3
    clock.stop()
    library.cuGraphLaunch(None, None)
    assert clock.seconds() == 4e-3
    clock.start()
    library.cuGraphLaunch(None, None)
    assert clock.seconds() == 2.5e-3


def test_a_clock_without_a_driver_says_so(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"the graph's clock needs libnone\.so\.1"):
        loaded("libnone.so.1")


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "compute-sanitizer"
    monkeypatch.setattr(sanitizer, "find", lambda: str(script))
    return script


def test_the_sanitizer_s_word_is_in_the_row(tool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def says(text: str) -> dict[str, Any]:
        tool.write_text(f"#!/bin/sh\n{text}\n")
        tool.chmod(0o755)
        return sanitizer.sanitized("memcheck", tmp_path / "a.fsp", "cuda", 1.0).fields

    clean = says('echo "$@"; echo "========= ERROR SUMMARY: 0 errors"')
    assert clean["clean"] and "--tool memcheck" in clean["tail"] and f"{tmp_path}/a.fsp" in clean["tail"]
    assert not says("exit 86")["clean"] and says("exit 86")["code"] == 86
    assert says("echo half; sleep 5")["timed_out"]
    monkeypatch.setattr(sanitizer, "find", lambda: None)
    row = sanitizer.sanitized("memcheck", tmp_path / "a.fsp", "cuda", 1.0)
    assert row.fields["missing"] == "compute-sanitizer is not installed"


def test_a_weight_is_the_same_wherever_it_is_drawn() -> None:
    a, b = random_weight("block.0.weight", (3, 5)), random_weight("block.0.weight", (3, 5))
    assert np.array_equal(a, b) and not np.array_equal(a, random_weight("block.1.weight", (3, 5)))
    assert abs(random_weight("norm.weight", (4096,)).mean() - 1) < 0.01 and a.dtype == np.float32


def test_goals_of_plans_are_judged_by_what_was_measured() -> None:
    def row(what: str, **fields: Any) -> dict[str, Any]:
        return {"stage": "plans", "kind": "row", "plan": "toons16", "what": what, "steps": 2, **fields}

    peers = {name: {"p50": p50} for name, p50 in (("plan", 1.0), ("eager", 5.0), ("compiled", 1.2))}
    counted = {"graph_launches": 19, "fallbacks": 1}
    measured = [
        row("requests", counted=counted, requests=20, peers=peers),
        row("requests", counted={}, requests=1, peers=peers),
        row("host", cost=30e-6, cost_back_to_back=15e-6, grown=4096),
        row("host", cost=None),
        row("memory", taken=105, announced=100),
        row("memory", taken=None, announced=100),
        row("parity", errors={"plan": {"rms": 3.0}, "eager": {"rms": 1.0}}),
        row("parity", certificate={}),
        {"stage": "plans", "kind": "row", "what": "memcheck", "clean": False},
        {"stage": "plans", "kind": "row", "what": "racecheck", "missing": "not installed"},
    ]
    found = [(goal.wanted, round(goal.got, 3), goal.met) for goal in goals(measured)]
    assert found == [
        (1.0, 0.95, False), (0.0, 1, False), (4.0, 5.0, True), (1.3, 1.2, False), (20.0, 15.0, True),
        (0.0, 4096, False), (1.05, 1.05, True), (2.0, 3.0, False), (1.0, 0.0, False),
    ]  # fmt: skip

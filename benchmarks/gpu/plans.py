"""Compiled plans: right, one launch a request, the host's cost, memory, and speed beside their rivals."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.gpu.graph_clock import DRIVER, GraphClock
from benchmarks.gpu.networks import NETWORKS, PlanNetwork
from benchmarks.gpu.plan_files import MODEL, PRECISION, plan_path
from benchmarks.gpu.plan_peers import (
    PLAN,
    QUICK,
    SLOW,
    Make,
    Peer,
    model_inputs,
    model_peers,
    network_inputs,
    network_peers,
)
from benchmarks.gpu.requests import check_needed
from benchmarks.gpu.runtime import ROOT, environment
from benchmarks.gpu.sanitizer import TOOLS, sanitized
from benchmarks.gpu.session import Item, Row, Session
from fewstep._runtime import Program
from fewstep.engine.backends.torch.cudnn import tuned_convolutions
from fewstep.errors import BackendError
from fewstep.export.families.family import SizeName
from fewstep.kernels.launch import architecture
from fewstep.profile.accuracy import Truth, error
from fewstep.profile.failure import first_line
from fewstep.profile.timing import Spread, interleave, spread, wall
from fewstep.verification import verify

MARGIN = 10.0  # seconds that a process of ours is stopped before the stage's time is out
WARM_UPS = 3
REQUESTS = 200  # one after the other, for the host's cost
SEEDS = 8
Given = dict[str, NDArray[Any]]


def plans(session: Session) -> Iterator[Item]:
    """What a plan is meant for comes first; torch.compile, which takes longest to get ready, last."""
    networks = {name: network for name, network in NETWORKS.items() if _is_chosen(session, name)}
    has_model = _is_chosen(session, MODEL)
    if has_model:
        yield MODEL, partial(_model, session, QUICK)
        yield f"{MODEL} {TOOLS[0]}", partial(_sanitized, session, TOOLS[0])
    for name, network in networks.items():
        yield name, partial(_network, session, network, QUICK)
    for tool in TOOLS[1:] if has_model else ():
        yield f"{MODEL} {tool}", partial(_sanitized, session, tool)
    if session.dry:
        return
    if has_model:
        yield f"{MODEL}: {'+'.join(SLOW)}", partial(_model, session, SLOW)
    for name, network in networks.items():
        yield f"{name}: {'+'.join(SLOW)}", partial(_network, session, network, SLOW)


def _is_chosen(session: Session, name: str) -> bool:
    return not session.families or name in session.families


def made(session: Session, name: str) -> tuple[Path, dict[str, Any]]:
    """The plan's file, from the folder of plans or made now by a process of its own; how long that took."""
    arch = None if session.dry else architecture(torch.empty(0, device="cuda"))
    path = plan_path(session.plans, name, arch, _size(session))
    began, was_there = time.perf_counter(), path.exists()
    if not was_there:
        command = [sys.executable, "-m", "benchmarks.gpu.plan_files", name, "--folder", str(session.plans)]
        command += ["--size", _size(session), *(["--arch", str(arch)] if arch else [])]
        limit = None if session.until == float("inf") else max(1.0, session.until - time.time() - MARGIN)
        done = subprocess.run(
            command, cwd=ROOT, env=environment() | {"TRITON_INTERPRET": "0"}, capture_output=True, text=True,
            timeout=limit, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise BackendError(f"the plan of {name} was not made: {done.stderr.strip()[-1500:]}")
    seconds = time.perf_counter() - began
    return path, {"was_there": was_there, "make_seconds": round(seconds, 3), "file_bytes": path.stat().st_size}


def _model(session: Session, names: tuple[str, ...]) -> Iterator[Row]:
    path, fields = made(session, MODEL)
    plan, memory = opened(session, path)
    if names == QUICK:
        yield _plan_row(MODEL, plan, fields)
        found = verify(path, MODEL, device=session.device, seeds=1 if session.dry else SEEDS).as_dict()
        rms = {steps: each["rms"] for steps, each in found["errors"]["onnxruntime"].items()}
        yield Row(f"latents from onnxruntime's, rms by steps: {rms}", _fields(MODEL, "parity", certificate=found))
    given = model_inputs(plan.batch)
    for steps in plan.counts[:1] if session.dry else plan.counts:
        yield _requests(session, MODEL, plan, model_peers(plan, steps, session.device), names, steps)
        if names == QUICK:
            yield _host(session, MODEL, path, given, steps)
    if names == QUICK:
        yield _memory(session, MODEL, plan, memory)


def _network(session: Session, network: PlanNetwork, names: tuple[str, ...]) -> Iterator[Row]:
    check_needed()
    path, fields = made(session, network.name)
    plan, memory = opened(session, path)
    size, given = _size(session), network_inputs(network, _size(session))
    module = network.make(size, session.device)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        exact = module(*network.size(size).inputs(session.device)).double().cpu()
    layout = torch.channels_last if network.is_last else torch.contiguous_format
    module = module.to(torch.float16, memory_format=layout)  # type: ignore[call-overload]
    peers = network_peers(plan, network, module, size, session.plans, session.device)
    if names == QUICK:
        yield _plan_row(network.name, plan, fields)
        yield _parity(network.name, exact, peers)
    yield _requests(session, network.name, plan, peers, names, 1)
    if names == QUICK:
        yield _host(session, network.name, path, given, 1)
        yield _memory(session, network.name, plan, memory)


def opened(session: Session, path: Path, driver: str = DRIVER) -> tuple[Program, dict[str, Any]]:
    """A plan on the session's device, and what the device's memory says of it."""
    free = free_bytes(session)
    began = time.perf_counter()
    plan = Program(str(path), device=session.device, driver=driver)
    seconds = round(time.perf_counter() - began, 4)
    return plan, {"open_seconds": seconds, "free_before": free, "free_open": free_bytes(session)}


def free_bytes(session: Session) -> int | None:
    if session.dry:
        return None
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return int(torch.cuda.mem_get_info()[0])


def described(plan: Program) -> dict[str, Any]:
    """What the device says of itself, but for its operations."""
    found: dict[str, Any] = json.loads(plan.describe())
    return {key: value for key, value in found.items() if key != "ops"}


def _plan_row(name: str, plan: Program, fields: dict[str, Any]) -> Row:
    device = described(plan)
    line = f"{PRECISION}, {device.get('launches', 'no')} launches, arena {device['arena']}, weights {device['weights']}"
    return Row(f"{line}, made in {fields['make_seconds']} s", _fields(name, "plan", describe=device, **fields))


def _parity(name: str, exact: torch.Tensor, peers: dict[str, Make]) -> Row:
    """The plan's error and eager PyTorch's in the same dtype, from PyTorch's float32."""
    found = {peer: error([torch.from_numpy(peers[peer]().made())], [exact]) for peer in (PLAN, "eager")}
    truth = Truth([exact], found["eager"], torch.finfo(torch.float16).eps)
    right = truth.accepts(found[PLAN])
    errors = {peer: asdict(each) for peer, each in found.items()}
    line = ", ".join(f"{peer} rms {each.rms:.2e} max {each.max:.2e}" for peer, each in found.items())
    return Row(
        f"error over the rms: {line}{'' if right else ' WRONG'}", _fields(name, "parity", errors=errors, right=right)
    )


@tuned_convolutions()
def _requests(
    session: Session, name: str, plan: Program, makers: dict[str, Make], names: tuple[str, ...], steps: int
) -> Row:
    """Each peer once a round; what the plan's device counted of its own requests."""
    peers, missing = dict[str, Peer](), dict[str, str]()
    results = dict[str, NDArray[Any]]()
    for peer in names:
        try:
            ready = makers[peer]()
            for _ in range(WARM_UPS):
                ready.run()
            peers[peer], results[peer] = ready, ready.made()
        except Exception as failure:  # a rival that cannot do this is a fact about it
            if peer == PLAN:
                raise
            missing[peer] = first_line(failure)
    before = described(plan)
    seconds = interleave(
        {peer: wall(_ignoring(p.run)) for peer, p in peers.items()}, 1 if session.dry else session.rounds
    )
    after = described(plan)
    counted = {
        key: after[key] - before[key] for key in ("graph_launches", "fallbacks", "failed_captures") if key in after
    }
    found = {peer: spread(times) for peer, times in seconds.items()}
    apart = {peer: _apart(result, results[PLAN]) for peer, result in results.items()}
    line = ", ".join(f"{peer} {each.p50 * 1e3:.3f} ms" for peer, each in found.items())
    line += "".join(f", {peer}: {why}" for peer, why in missing.items())
    fields = _fields(
        name, "requests", steps=steps, requests=len(seconds[PLAN]), counted=counted, missing=missing, apart=apart,
        peers={peer: each._asdict() for peer, each in found.items()}, message=after.get("message", ""),
    )  # fmt: skip
    return Row(f"{steps} steps: {line}, counted {counted}", fields)


def _host(session: Session, name: str, path: Path, given: Given, steps: int) -> Row:
    """Wall time of a request less the device's time for its graph; and of requests that follow each other at once."""
    clock = None if session.dry else _clock(session.out)
    plan, _ = opened(session, path, DRIVER if clock is None else clock.driver)
    free = free_bytes(session)
    outputs = ["images"] if name == MODEL else None
    requests = 3 if session.dry else REQUESTS
    walls, device = list[float](), list[float]()
    if clock is not None:
        clock.start()
    for _ in range(requests):
        began = time.perf_counter()
        plan.run(given, steps, outputs)
        walls.append(time.perf_counter() - began)
        device += [] if clock is None else [clock.seconds()]
    if clock is not None:
        clock.stop()
    began = time.perf_counter()
    for _ in range(requests):
        plan.run(given, steps, outputs)
    after_each_other = (time.perf_counter() - began) / requests
    left = free_bytes(session)
    alone = spread(walls)
    graph: Spread | None = spread(device) if device else None
    cost = None if graph is None else alone.p50 - graph.p50
    fields = _fields(
        name, "host", steps=steps, wall=alone._asdict(), back_to_back=after_each_other,
        graph=None if graph is None else graph._asdict(), cost=cost,
        cost_back_to_back=None if graph is None else after_each_other - graph.p50,
        grown=None if free is None or left is None else free - left,
    )  # fmt: skip
    said = "no GPU, no graph" if graph is None or cost is None else f"{graph.p50 * 1e6:.1f} us of it the graph"
    line = f"{steps} steps: a request {alone.p50 * 1e6:.1f} us, {said}, {after_each_other * 1e6:.1f} us back to back"
    return Row(line, fields)


@cache
def _clock(folder: Path) -> GraphClock:
    return GraphClock(folder)


def _memory(session: Session, name: str, plan: Program, memory: dict[str, Any]) -> Row:
    """What opening the plan took of the device against what the plan announced; a run must take nothing."""
    device = described(plan)
    announced = device["arena"] + device["weights"]
    taken = None if session.dry else memory["free_before"] - memory["free_open"]
    fields = _fields(name, "memory", announced=announced, taken=taken, **memory)
    return Row(f"announced {announced} bytes, taken {taken}", fields)


def _sanitized(session: Session, tool: str) -> Iterator[Row]:
    path, _ = made(session, MODEL)
    left = min(session.until - time.time() - MARGIN, 120.0)
    yield sanitized(tool, path, session.device, left)


def _apart(result: NDArray[Any], ours: NDArray[Any]) -> dict[str, float]:
    difference = np.abs(result.astype(np.float64) - ours)
    return {"max": float(difference.max()), "mean": float(difference.mean())}


def _ignoring(run: Callable[[], object]) -> Callable[[int], object]:
    return lambda i: run()


def _size(session: Session) -> SizeName:
    return "tiny" if session.dry else "full"


def _fields(name: str, what: str, **more: Any) -> dict[str, Any]:
    return {"plan": name, "what": what, "precision": PRECISION, **more}

"""Every kernel beside its rivals on the same inputs: eager PyTorch, torch.compile, the libraries' own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from fewstep.engine.backends.torch.cudnn import tuned_convolutions
from fewstep.engine.checks import choice
from fewstep.errors import InputError
from fewstep.kernels.cost import nbytes
from fewstep.profile.accuracy import Truth, outputs, truth
from fewstep.profile.case import Case, Function, Inputs, tensors
from fewstep.profile.ceilings import Ceilings, bare
from fewstep.profile.failure import first_line
from fewstep.profile.launches import count_launches
from fewstep.profile.row import COMPILED, EAGER, FUSED, Clock, Peer, Row
from fewstep.profile.timing import PAUSE, Measure, Run, events, graph, interleave, spread, wall

PEERS = (EAGER, COMPILED, "libraries", FUSED)
MOST_SETS = {"cuda": 256, "cpu": 8}
MOST_BYTES = {"cuda": 16 << 30, "cpu": 1 << 30}  # of all inputs together
BUDGET = 20.0  # seconds of measuring a case, beyond the first rounds
NO_GPU = "needs a GPU: Triton's interpreter says nothing of speed"


@dataclass(frozen=True)
class Setting:
    """What holds for every case. peers: of eager, compiled, libraries and fused; mode: torch.compile's."""

    device: str
    cache: int  # bytes of the largest cache
    ceilings: Ceilings
    rounds: int = 30
    peers: tuple[str, ...] = PEERS
    mode: str = "default"
    dtype: torch.dtype | None = None  # in place of the cases' own


def select(cases: Sequence[Case], op: str | None = None, family: str | None = None) -> list[Case]:
    """The cases of an operation and of a family. Raises InputError that lists what there is."""
    if op is not None:
        choice("op", op, {case.op for case in cases})
    if family is not None:
        choice("family", family, {_plain(name) for case in cases for name in case.families})
    chosen = [
        case
        for case in cases
        if (op is None or case.op == op) and (family is None or family in map(_plain, case.families))
    ]
    if not chosen:
        raise InputError(f"no case of {op} belongs to {family}; leave out one of the two")
    return chosen


def _plain(family: str) -> str:
    """sdxl-turbo of "sdxl-turbo 512": the model without the setting."""
    return family.split()[0].rstrip(",")


def profile(cases: Iterable[Case], setting: Setting) -> Iterator[Row]:
    """A row for each case and dtype, as they are measured."""
    for case in cases:
        for dtype in case.dtypes if setting.dtype is None else (setting.dtype,):
            yield profile_case(case, dtype, setting)


@tuned_convolutions()
@torch.inference_mode()
def profile_case(case: Case, dtype: torch.dtype, setting: Setting) -> Row:
    shapes = case.make("meta", dtype, 0)
    cost = case.cost(**shapes)
    held = nbytes(*tensors(shapes))
    sets, beyond = rotation(min(held, cost.bytes), held, setting.cache, setting.device)
    inputs = [case.make(setting.device, dtype, 1000 * i) for i in range(sets)]
    row = Row(
        case.op, case.shape, case.families, bare(dtype), cost.bytes, cost.flop,
        setting.ceilings.floor(cost, dtype), sets, beyond,
    )  # fmt: skip
    exact = truth(case.reference, inputs[0])
    ready, peers = {}, {}
    for name, function in rivals(case, setting).items():
        if function is None:
            peers[name] = Peer(missing=NO_GPU)
            continue
        try:
            ready[name], peers[name] = _prepare(name, function, case, inputs, exact, setting)
        except Exception as failure:  # a rival that cannot do this shape is a fact about it
            peers[name] = Peer(missing=first_line(failure))
    for name, seconds in interleave(ready, setting.rounds, BUDGET, 0 if setting.device == "cuda" else PAUSE).items():
        measured = spread(seconds)
        peers[name] = replace(
            peers[name],
            seconds=measured,
            bytes_per_s=cost.bytes / measured.p50,
            flop_per_s=cost.flop / measured.p50,
            share=row.floor / measured.p50,
        )
    return replace(row, peers=peers)


def rotation(read: int, held: int, cache: int, device: str) -> tuple[int, bool]:
    """How many sets of inputs, and whether what their calls read exceeds twice the cache together.

    read: bytes that a call meets, of a table the rows that it looks up; held: bytes of a set.
    """
    wanted = 2 * cache // read + 1
    sets = max(1, min(wanted, MOST_SETS[device], MOST_BYTES[device] // held))
    return sets, sets * read > 2 * cache


def rivals(case: Case, setting: Setting) -> dict[str, Function | None]:
    """The peers by name, ours last; None where the device cannot run one."""
    found: dict[str, Function | None] = {}
    if EAGER in setting.peers:
        found[EAGER] = case.reference
    if COMPILED in setting.peers:
        torch.compiler.reset()  # or what earlier cases compiled counts towards the limit of recompilations
        found[COMPILED] = torch.compile(case.reference, dynamic=False, mode=setting.mode)
    if "libraries" in setting.peers:
        found |= dict(case.libraries)
    if FUSED in setting.peers:
        found[FUSED] = case.fused if setting.device == "cuda" else None
    return found


def _prepare(
    name: str, function: Function, case: Case, inputs: list[Inputs], exact: Truth | None, setting: Setting
) -> tuple[Measure, Peer]:
    """A warm peer: its measurement and all that is known of it but the time."""

    def run(i: int) -> Any:
        return function(**inputs[i])

    first = outputs(run(0))
    found = None if exact is None else exact.error(first)
    peer = Peer(error=found, right=None if found is None or exact is None else exact.accepts(found))
    if setting.device != "cuda":
        return wall(run, len(inputs)), replace(peer, clock="wall")
    launches = len(case.launches(**inputs[0])[1]) if name == FUSED else count_launches(partial(run, 0)).device
    clock, measure = _on_the_device(run, len(inputs))
    return measure, replace(peer, clock=clock, launches=launches)


def _on_the_device(run: Run, sets: int) -> tuple[Clock, Measure]:
    try:
        return "graph", graph(run, sets)
    except RuntimeError:  # it cannot be captured
        torch.cuda.synchronize()
        return "events", events(run, sets)

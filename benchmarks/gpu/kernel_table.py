"""Every kernel at every shape beside its rivals: first eager PyTorch and the libraries, then torch.compile, which takes
seconds a shape to get ready. The first shape of each operation comes first.
"""

from collections.abc import Iterable, Iterator
from functools import cache, partial
from itertools import chain, zip_longest

import torch

from benchmarks.gpu.session import Item, Row, Session
from fewstep.profile.case import Case
from fewstep.profile.ceilings import Ceilings, measure_ceilings
from fewstep.profile.kernels import Setting, profile
from fewstep.profile.machine import cache_bytes
from fewstep.profile.row import COMPILED, EAGER, FUSED, median
from fewstep.profile.row import Row as Measured
from fewstep.profile.table import CASES

DRY_FLOP = 1e7
QUICK, SLOW = (EAGER, "libraries", FUSED), (COMPILED, FUSED)


def kernels(session: Session) -> Iterator[Item]:
    cases = list(by_turns(chosen(session)))
    for peers in (QUICK,) if session.dry else (QUICK, SLOW):
        for case in cases:
            yield f"{case.name}: {'+'.join(peers)}", partial(_measure, session, case, peers)


def chosen(session: Session) -> list[Case]:
    cases = [case for case in CASES if not session.ops or case.op in session.ops]
    return [case for case in cases if not session.dry or _flop(case) < DRY_FLOP][: 3 if session.dry else None]


def by_turns(cases: Iterable[Case]) -> Iterator[Case]:
    """The first case of each operation, then the second of each, and so on."""
    by_op: dict[str, list[Case]] = {}
    for case in cases:
        by_op.setdefault(case.op, []).append(case)
    return (case for case in chain.from_iterable(zip_longest(*by_op.values())) if case is not None)


def _measure(session: Session, case: Case, peers: tuple[str, ...]) -> Iterator[Row]:
    setting = Setting(
        session.device,
        1 << 20 if session.dry else cache_bytes(session.device),
        _ceilings(session.dry),
        3 if session.dry else session.rounds,
        peers,
        session.mode,
        torch.float32 if session.dry else None,
    )
    for found in profile([case], setting):
        yield Row(line(found), {"measured": found.as_dict(), "mode": session.mode})


@cache
def _ceilings(dry: bool) -> Ceilings:
    if dry:
        return measure_ceilings("cpu", (torch.float32,), copy_bytes=1 << 20, side=64)
    return measure_ceilings("cuda", sorted({dtype for case in CASES for dtype in case.dtypes}, key=str))


def line(row: Measured) -> str:
    """The kernel's time and share of its roof, and how many times it every peer takes."""
    ours = row.peers.get(FUSED)
    if ours is None or ours.seconds is None:
        return f"{row.dtype} fused: {ours.missing if ours else 'not asked for'}"
    eager = row.peers.get(EAGER)
    cells = [f"{row.dtype} {ours.seconds.p50 * 1e6:.1f} us, {ours.share or 0:.2f} of roof"]
    if ours.error and eager and eager.error:
        cells.append(f"error {ours.error.rms / max(eager.error.rms, 1e-30):.2f}x eager's")
    if ours.right is False:
        cells.append("WRONG")
    for name, peer in row.peers.items():
        if name != FUSED:
            cells.append(f"{name} {median(peer) / median(ours):.2f}x" if peer.seconds else f"{name}: {peer.missing}")
    return ", ".join(cells)


def _flop(case: Case) -> int:
    return case.cost(**case.make("meta", case.dtypes[0], 0)).flop

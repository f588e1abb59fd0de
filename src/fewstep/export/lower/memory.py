"""Where each buffer lies in the arena: what is never live at once may share it."""

from collections.abc import Sequence
from dataclasses import replace

from fewstep.export.lower.inplace import in_place
from fewstep.export.lower.liveness import Life, lives, overlap
from fewstep.export.lower.numbering import renumbered
from fewstep.export.lower.program import Program

ALIGNMENT = 64


def plan_memory(program: Program) -> Program:
    """The program with results written over operands where that is legal, offsets for its buffers and its arena's size.

    Greedy by size (Pisarchyk & Lee 2020, arXiv:2001.03288): the largest buffer first, each into the smallest gap that
    holds it.
    """
    program = renumbered(in_place(program))
    found = lives(program)
    sizes = {index: _aligned(program.buffers[index][1]) for index in found}
    order = sorted(found, key=lambda index: (found[index] is not None, -sizes[index], index))
    offsets: dict[int, int] = {}
    for index in order:
        taken = sorted((offsets[o], offsets[o] + sizes[o]) for o in offsets if overlap(found[o], found[index]))
        offsets[index] = _best_fit(taken, sizes[index])
    arena = max((offsets[index] + sizes[index] for index in found), default=0)
    buffers = [(offsets[index], size) for index, (_, size) in enumerate(program.buffers)]
    return replace(program, arena=arena, buffers=buffers)


def floor(program: Program) -> int:
    """The bytes that are live at once at the worst moment: no plan of this program's buffers is smaller."""
    found = lives(program)
    lasting = sum(_aligned(program.buffers[index][1]) for index, life in found.items() if life is None)
    moments = [Life(s, i, i) for s, stage in enumerate(program.stages) for i in range(len(stage.ops))]
    alive = [
        sum(
            _aligned(program.buffers[index][1])
            for index, life in found.items()
            if life is not None and overlap(life, moment)
        )
        for moment in moments
    ]
    return lasting + max(alive, default=0)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _best_fit(taken: Sequence[tuple[int, int]], size: int) -> int:
    """taken: by rising start; they may overlap each other."""
    best, best_room, end = None, 0, 0
    for start, stop in taken:
        room = start - end
        if room >= size and (best is None or room < best_room):
            best, best_room = end, room
        end = max(end, stop)
    return end if best is None else best

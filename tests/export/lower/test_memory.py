"""Random programs: live buffers never share a byte, results over operands change nothing, and the arena is small."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from run_program import run_program

from fewstep.export.lower.assemble import Header, assemble
from fewstep.export.lower.draft import Draft, DraftStage
from fewstep.export.lower.inplace import in_place
from fewstep.export.lower.liveness import lives, overlap
from fewstep.export.lower.memory import floor, plan_memory
from fewstep.export.lower.program import Program
from fewstep.export.lower.views import View, new_view

HEADER = Header({"device": "cpu"}, "float32", {"name": "test", "family": "test", "bundle": ""}, 1)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Sums and curves of what came before, some over parts of it, some into parts of a larger block."""
    x = new_view("f32", (4, draw(st.integers(1, 40))))
    views: list[View] = [x]
    ops: list[Draft] = []
    for i in range(draw(st.integers(1, 25))):
        a = draw(st.sampled_from(views))
        b = draw(st.sampled_from([view for view in views if view.shape == a.shape]))
        if draw(st.booleans()):
            target = new_view("f32", a.shape, draw(st.permutations((0, 1))))
        else:
            target = new_view("f32", (4, a.shape[1] + 3)).sliced(1, draw(st.integers(0, 3)), a.shape[1])
        code = draw(st.sampled_from([[["add", 0, 1]], [["tanh", 0]], [["mul", 0, 1], ["sigmoid", 2]]]))
        ops.append(Draft("map", f"n{i}", (a, b), (target,), {"code": code}))
        views.append(target)
        if target.shape[1] > 1 and draw(st.booleans()):
            views.append(target.sliced(1, 1, target.shape[1] - 1))
    kept = {f"y{i}": draw(st.sampled_from(views[1:])) for i in range(draw(st.integers(1, 3)))}
    return assemble(HEADER, [DraftStage("network", tuple(ops))], {"x": x}, kept)


def apart(program: Program) -> Program:
    """Every buffer at a place of its own, nothing over anything."""
    ends = np.cumsum([0, *(-(-size // 64) * 64 for _, size in program.buffers)]).tolist()
    buffers = [(end, size) for end, (_, size) in zip(ends, program.buffers, strict=False)]
    return replace(program, buffers=buffers, arena=ends[-1])


@settings(max_examples=25)
@given(programs(), st.integers(0, 2**32 - 1))
def test_a_planned_program_computes_the_same(program: Program, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal(program.values[program.inputs["x"]].shape).astype(np.float32)
    expected, found = (run_program(made, {}, {"x": x}) for made in (apart(program), plan_memory(program)))
    assert all(np.array_equal(found[name], value) for name, value in expected.items())


@settings(max_examples=25)
@given(programs())
def test_what_lives_at_once_shares_no_byte(program: Program) -> None:
    planned = plan_memory(program)
    found = lives(planned)
    ends = {i: offset + size for i, (offset, size) in enumerate(planned.buffers)}
    for a, b in combinations(found, 2):
        if overlap(found[a], found[b]):
            assert ends[a] <= planned.buffers[b][0] or ends[b] <= planned.buffers[a][0]
    assert all(offset % 64 == 0 for offset, _ in planned.buffers)
    aligned = sum(-(-size // 64) * 64 for _, size in planned.buffers)
    assert max(ends.values()) <= planned.arena <= aligned and floor(planned) <= planned.arena
    assert floor(planned) <= floor(apart(program))


@settings(max_examples=25)
@given(programs())
def test_only_equal_views_share(program: Program) -> None:
    shared = in_place(program)
    for op in shared.stages[0].ops:
        (out,) = op.outputs
        for index in op.inputs:
            if index is not None and shared.values[index].buffer == shared.values[out].buffer:
                assert shared.values[index] == shared.values[out]


def test_a_chain_is_one_buffer() -> None:
    views = [new_view("f32", (3, 5)) for _ in range(6)]
    ops = [Draft("map", "", (a,), (b,), {"code": [["neg", 0]]}) for a, b in pairwise(views)]
    program = assemble(HEADER, [DraftStage("network", tuple(ops))], {"x": views[0]}, {"y": views[-1]})
    assert [size for _, size in plan_memory(program).buffers] == [60, 60, 60]  # the caller's are its own


def test_strides_of_axes_of_one_hide_no_sharing() -> None:
    """The second view has a stride of 7 along an axis of 1."""
    x, a, b, y = (new_view("f32", (1, 12)) for _ in range(4))
    a = replace(a, strides=(7, 1))
    ops = [Draft("map", "", (u,), (v,), {"code": [["neg", 0]]}) for u, v in pairwise((x, a, b, y))]
    program = assemble(HEADER, [DraftStage("network", tuple(ops))], {"x": x}, {"y": y})
    planned = plan_memory(program)
    assert len(planned.buffers) == 3
    for op in planned.stages[0].ops[1:2]:
        assert op.inputs == op.outputs  # one value, so that the runtime sees one view
    values = np.arange(12, dtype=np.float32)[None]
    assert np.array_equal(run_program(planned, {}, {"x": values})["y"], -values)


def test_what_several_stages_name_is_live_throughout() -> None:
    a, b, c, d = (new_view("f32", (16,)) for _ in range(4))
    first = DraftStage("prompt", (Draft("map", "", (), (a,), {"code": [["const", 1.0]]}),))
    ops = (
        Draft("map", "", (), (b,), {"code": [["const", 2.0]]}),
        Draft("map", "", (b, a), (c,), {"code": [["add", 0, 1]]}),
    )
    second = DraftStage("finish", (*ops, Draft("map", "", (c,), (d,), {"code": [["neg", 0]]})))
    planned = plan_memory(assemble(HEADER, [first, second], {}, {"d": d}))
    assert [life is None for life in lives(planned).values()].count(True) == 2
    assert planned.arena == 3 * 64

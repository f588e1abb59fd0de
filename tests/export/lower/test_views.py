"""A view holds the elements that numpy's operation gives, and copies where numpy has to."""

from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fewstep.export.lower.views import Storage, View, new_view, order_of, ordered, reshaped_strides, row_major


@st.composite
def layouts(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A shape, and strides of a permuted block of which every second or third element may be taken."""
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=5)))
    strides = list(ordered(shape, draw(st.permutations(range(len(shape))))))
    gap, axis = draw(st.sampled_from([1, 1, 2])), draw(st.integers(0, len(shape) - 1))
    strides = [stride * gap for stride in strides]
    if draw(st.integers(0, 3)) == 0:
        strides[axis] = 0
    return shape, tuple(strides)


def seen(shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    size = 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    block = np.arange(size, dtype=np.int64)
    return np.lib.stride_tricks.as_strided(block, shape, [stride * 8 for stride in strides])


@st.composite
def factorings(draw: st.DrawFn, size: int) -> tuple[int, ...]:
    out, left = [], size
    while left > 1:
        factor = draw(st.sampled_from([n for n in range(1, left + 1) if left % n == 0]))
        out.append(factor)
        left //= factor
        if len(out) == 5:
            out.append(left)
            break
    return tuple(out)


@given(layouts(), st.data())
def test_a_reshape_is_a_view_exactly_where_numpy_makes_one(
    layout: tuple[tuple[int, ...], tuple[int, ...]], data: st.DataObject
) -> None:
    shape, strides = layout
    wanted = data.draw(factorings(prod(shape)))
    expected = seen(shape, strides)
    found = reshaped_strides(shape, strides, wanted)
    if found is not None:
        assert np.array_equal(seen(wanted, found), expected.reshape(wanted))
    elif 0 not in strides:  # numpy copies some repeats that strides can say
        try:
            np.reshape(expected, wanted, copy=False)
        except ValueError:
            return
        raise AssertionError(f"{shape} {strides} to {wanted}: numpy makes a view")


@given(layouts())
def test_an_order_gives_back_its_strides(layout: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    shape, _ = layout
    for order in (tuple(range(len(shape))), tuple(reversed(range(len(shape))))):
        strides = ordered(shape, order)
        again = ordered(shape, order_of(shape, strides))
        assert [a for a, n in zip(again, shape, strict=True) if n > 1] == [
            s for s, n in zip(strides, shape, strict=True) if n > 1
        ]


def test_cutting_and_repeating() -> None:
    view = new_view("f32", (4, 6))
    cut = view.sliced(1, 1, 3, 2).permuted((1, 0))
    assert (cut.shape, cut.strides, cut.offset) == ((3, 4), (2, 6), 1)
    assert view.sliced(0, 1, 1).expanded((5, 4, 6)).strides == (0, 0, 1)
    assert View(Storage("f16", 7), (7,), (1,)).storage.bytes == 14
    assert row_major((2, 3, 4)) == (12, 4, 1) and row_major(()) == ()

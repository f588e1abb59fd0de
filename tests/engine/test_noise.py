import math
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep import _runtime
from fewstep.engine.noise import normal, random_seed
from fewstep.errors import InputError

N = 1 << 18
LARGEST = math.sqrt(48 * math.log(2))  # of u1 = 2^-24

PINNED = [
    [0x3F88A6CA, 0xBED9C6BE, 0xC0178CDE, 0xBE6D0D4B, 0x3ECF57C8],
    [0x3F0F570E, 0x3F85CD7A, 0x3E71E3FF, 0x3FC13878, 0x3E92EE98],
    [0xBF6C0A87, 0x3D093867, 0xBDA22EEB, 0x3FC70438, 0xBEA8544A],
]
PINNED_DIGEST = "c118071871d31a661558d717143c96e1ab62af1d0931152d5ca23ece249f1e09"

seed_values = st.integers(0, 2**64 - 1)
steps = st.integers(0, 2**32 - 1)


def element(seed: int, step: int, e: int) -> float:
    """The stream's definition in Python's own numbers."""
    block = e // 4
    low = 0xFFFFFFFF
    words = _runtime.philox4x32_10([block & low, block >> 32, step, 0], [seed & low, seed >> 32])
    w_radius, w_angle = words[:2] if e % 4 < 2 else words[2:]
    radius = math.sqrt(-2 * math.log(((w_radius >> 8) + 1) / 2**24))
    angle = 2 * math.pi * (w_angle >> 8) / 2**24
    return radius * (math.sin(angle) if e % 2 else math.cos(angle))


@given(seed_values, steps, st.integers(0, 2**64 - 9))
def test_the_stream_is_its_definition(seed: int, step: int, first: int) -> None:
    x = _runtime.normal([seed], step, 9, first)[0]
    expected = np.array([element(seed, step, first + i) for i in range(9)])
    np.testing.assert_allclose(x, expected, rtol=1e-7, atol=1e-14)


def test_the_stream_is_pinned() -> None:
    """These numbers are a promise: an image of a seed stays the same in every later version."""
    x = normal([0, 7, 2**64 - 1], 1, (5,))
    expected = [[element(seed, 1, e) for e in range(5)] for seed in (0, 7, 2**64 - 1)]
    np.testing.assert_array_equal(x, np.array(expected, np.float32))
    np.testing.assert_array_equal(x.view(np.uint32), PINNED)
    assert sha256(normal([7], 0, (1 << 20,)).astype("<f4").tobytes()).hexdigest() == PINNED_DIGEST


@given(seed_values, steps, st.integers(0, 700), st.integers(0, 700))
def test_any_slice_of_elements_is_the_same_numbers(seed: int, step: int, start: int, count: int) -> None:
    whole = _runtime.normal([seed], step, 1400)
    np.testing.assert_array_equal(_runtime.normal([seed], step, count, start), whole[:, start : start + count])


@given(st.lists(seed_values, min_size=1, max_size=6), steps)
def test_a_row_depends_on_its_seed_alone(seeds: list[int], step: int) -> None:
    rows = normal(seeds, step, (3, 5))
    np.testing.assert_array_equal(normal(seeds[::-1], step, (3, 5)), rows[::-1])
    for seed, row in zip(seeds, rows, strict=True):
        np.testing.assert_array_equal(normal([seed], step, (3, 5))[0], row)


def test_a_shape_only_arranges_the_elements() -> None:
    np.testing.assert_array_equal(normal([9], 2, (3, 4, 5)).ravel(), normal([9], 2, (60,)).ravel())
    assert normal([1, 2], 0, ()).shape == (2,)
    assert normal([], 0, (3, 4)).shape == (0, 3, 4)
    assert normal([1], 0, (3, 0)).shape == (1, 3, 0)


@pytest.mark.parametrize("seed", [0, 7, 2**32, 2**64 - 1], ids=hex)
def test_values_are_unit_normal(seed: int) -> None:
    x = normal([seed], 0, (N,))[0].astype(np.float64)
    assert np.isfinite(x).all() and np.abs(x).max() <= LARGEST + 1e-6
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(x**power) - moment) < 4 * math.sqrt(variance / N), f"moment {power}"
    for bound in (1, 2, 3, 4):
        p = math.erfc(bound / math.sqrt(2))
        assert abs(np.mean(np.abs(x) > bound) - p) < 4 * math.sqrt(p / N), f"tail beyond {bound}"


def test_values_pass_kolmogorov_and_smirnov() -> None:
    x = np.sort(normal([11], 0, (N // 4,))[0])
    cdf = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.tolist()])
    rank = np.arange(len(x) + 1) / len(x)
    statistic = max((rank[1:] - cdf).max(), (cdf - rank[:-1]).max())
    assert statistic < 1.95 / math.sqrt(len(x))  # 1.95: one stream in a thousand is worse


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (((1, 0), 0), ((2, 0), 0)),
        (((1, 0), 0), ((1, 1), 0)),
        (((1, 0), 0), ((1, 0), 1)),
        (((1, 0), 0), ((1, 0), 2)),
        (((1, 0), 0), ((1 << 32, 0), 0)),
    ],
    ids=["seed", "step", "neighbour", "pair", "high half of the seed"],
)
def test_values_are_independent(a: tuple[tuple[int, int], int], b: tuple[tuple[int, int], int]) -> None:
    x, y = (_runtime.normal([seed], step, N, first)[0].astype(np.float64) for (seed, step), first in (a, b))
    assert abs(np.mean(x * y)) < 4 / math.sqrt(N)
    assert abs(np.mean((x**2 - 1) * (y**2 - 1))) < 4 * 2 / math.sqrt(N)


@pytest.mark.parametrize("seed", [-1, 2**64, True, "7", 1.0, float("nan"), None, b"1"], ids=repr)
def test_illegal_seeds_are_named(seed: object) -> None:
    with pytest.raises(InputError, match=r"seeds\[1\]: expected an integer from 0 to 18446744073709551615, got"):
        normal([0, seed], 0, (4,))  # type: ignore[list-item]


@pytest.mark.parametrize("seeds", [7, "77", b"77", None, {7}], ids=repr)
def test_seeds_must_be_a_sequence(seeds: object) -> None:
    with pytest.raises(InputError, match="seeds: expected a sequence of integers"):
        normal(seeds, 0, (4,))  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [-1, 2**32, True, 0.0, "0"], ids=repr)
def test_illegal_steps_are_named(step: object) -> None:
    with pytest.raises(InputError, match="step: expected an integer"):
        normal([0], step, (4,))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(-1,), (2, 3.0), (True,), 4, "44", (2**31, 2**31, 2**31)], ids=repr)
def test_illegal_shapes_are_named(shape: object) -> None:
    with pytest.raises(InputError, match="shape"):
        normal([0], 0, shape)  # type: ignore[arg-type]


def test_random_seeds_are_legal_and_differ() -> None:
    seeds = [random_seed() for _ in range(64)]
    assert len(set(seeds)) == 64 and all(0 <= seed < 2**64 for seed in seeds)
    assert max(seeds) >= 2**60

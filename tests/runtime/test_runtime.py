"""The binding: known answers, conversions and the committed stub."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nanobind.stubgen import StubGen

from fewstep import _runtime

STUB = Path(__file__).parents[2] / "src" / "fewstep" / "_runtime.pyi"
F = 0xFFFFFFFF
words = st.integers(0, F)


def philox4x32_10(counter: list[int], key: list[int]) -> list[int]:
    """Salmon et al., SC 2011, section 4.3, in Python's integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & F, (p0 >> 32) ^ c[3] ^ k[1], p0 & F]
        k = [(k[0] + 0x9E3779B9) & F, (k[1] + 0xBB67AE85) & F]
    return c


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([F] * 4, [F] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_philox_gives_the_published_vectors(counter: list[int], key: list[int], words: list[int]) -> None:
    assert _runtime.philox4x32_10(counter, key) == words == philox4x32_10(counter, key)


@given(st.lists(words, min_size=4, max_size=4), st.lists(words, min_size=2, max_size=2))
def test_philox_is_its_definition(counter: list[int], key: list[int]) -> None:
    assert _runtime.philox4x32_10(counter, key) == philox4x32_10(counter, key)


def test_normal_is_a_fresh_writable_array_that_owns_its_memory() -> None:
    x, y = _runtime.normal([3, 4], 0, 5), _runtime.normal([3, 4], 0, 5)
    assert x.dtype == np.float32 and x.shape == (2, 5) and x.flags.c_contiguous and x.flags.writeable
    x[:] = 0
    np.testing.assert_array_equal(y, _runtime.normal([3, 4], 0, 5))


@pytest.mark.parametrize(("seeds", "count"), [([], 5), ([1], 0), ([], 0)], ids=str)
def test_normal_of_nothing_is_empty(seeds: list[int], count: int) -> None:
    assert _runtime.normal(seeds, 0, count).shape == (len(seeds), count)


@pytest.mark.parametrize("bad", [-1, 2**64, 1.0, "1", None], ids=repr)
def test_normal_takes_unsigned_64_bit_seeds_only(bad: object) -> None:
    with pytest.raises(TypeError):
        _runtime.normal([bad], 0, 4)  # type: ignore[list-item]


@pytest.mark.parametrize("step", [-1, 2**32, 0.5], ids=repr)
def test_normal_takes_unsigned_32_bit_steps_only(step: int) -> None:
    with pytest.raises(TypeError):
        _runtime.normal([0], step, 4)


def test_normal_refuses_to_run_off_the_stream() -> None:
    assert _runtime.normal([0], 0, 1, 2**64 - 1).shape == (1, 1)
    with pytest.raises(ValueError, match=r"2\^64 elements, got 2 elements from element 18446744073709551615"):
        _runtime.normal([0], 0, 2, 2**64 - 1)


def test_normal_refuses_sizes_whose_product_wraps() -> None:
    with pytest.raises(MemoryError):
        _runtime.normal([0, 1, 2, 3], 0, 2**62)


def test_the_committed_stub_is_current() -> None:
    stubs = StubGen(_runtime)
    stubs.put(_runtime)
    assert STUB.read_text() == stubs.get(), "run: make stub"

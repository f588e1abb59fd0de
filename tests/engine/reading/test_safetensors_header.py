"""The official library is the reference: whatever is accepted here, it accepts, and reads the same."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from fewstep.engine.reading.safetensors_header import ITEM_SIZES, MAX_HEADER, Tensor, read_header
from fewstep.errors import InputError

Header = dict[str, Any]
TWO: Header = {
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]},
    "b": {"dtype": "I64", "shape": [], "data_offsets": [12, 20]},
}


def packed(header: Header | bytes, size: int = 20) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(range(size))


def changed(**entries: Any) -> Header:
    return {**TWO, **entries}


def official(data: bytes) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (t["dtype"], tuple(t["shape"]), bytes(t["data"])) for name, t in deserialize(data)}  # type: ignore[no-untyped-call]


def ours(data: bytes) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {t.name: (t.dtype, t.shape, data[t.offset : t.offset + t.length]) for t in read_header(data, "f")}


def test_tensors_come_by_offset() -> None:
    data = packed(TWO)
    start = len(data) - 20
    assert read_header(data, "f") == [Tensor("a", "F16", (2, 3), start, 12), Tensor("b", "I64", (), start + 12, 8)]
    assert ours(data) == official(data)


@pytest.mark.parametrize("dtype", ITEM_SIZES)
def test_sizes_are_the_official_ones(dtype: str) -> None:
    size = 6 * ITEM_SIZES[dtype]
    data = packed({"a": {"dtype": dtype, "shape": [2, 3], "data_offsets": [0, size]}}, size)
    assert ours(data) == official(data)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "f: expected a safetensors header"),
        (b"\x02\0\0\0\0\0\0\0{", "expected a safetensors header of at most 2097152 bytes, got 2 of 9"),
        (b"\xff" * 8 + b"{}", "expected a safetensors header"),
        (packed(b" {}", 0), "header: expected a JSON object"),
        (packed(b"[]", 0), "header: expected a JSON object"),
        (packed(TWO, 21), "f: expected .* bytes, as its header says"),
        (packed(TWO, 19), "data_offsets: expected an integer from 0 to 19"),
        (packed(changed(a={**TWO["a"], "dtype": "F4"})), "f: a.dtype: expected one of"),
        (packed(changed(a={**TWO["a"], "shape": [3, 3]})), "f: a: expected 18 bytes of data, got 12"),
        (packed(changed(a={**TWO["a"], "shape": [-2, -3]})), "a: shape: expected an integer from 0"),
        (packed(changed(a={**TWO["a"], "shape": [2.0, 3]})), "a: shape: expected an integer"),
        (packed(json.dumps(TWO).replace("[0, 12]", "[-0, 12]").encode()), "-0 is an integer to some readers"),
        (packed(changed(a={**TWO["a"], "shape": [2**40, 2**40, 0]})), "a: shape: expected at most"),
        (packed(changed(a={**TWO["a"], "extra": 1})), "expected only the keys"),
        (packed(changed(a={"dtype": "F16", "shape": [6]})), "data_offsets is missing"),
        (packed(changed(a={**TWO["a"], "data_offsets": [12, 0]})), "expected 12 bytes of data, got -12"),
        (packed(changed(a={**TWO["a"], "data_offsets": [4, 16]})), "a: offset: expected 0|b: offset"),
        (packed(changed(b={**TWO["b"], "data_offsets": [8, 16]})), "b: offset: expected 12, no hole or overlap, got 8"),
        (packed(changed(__metadata__={"a": 1})), "__metadata__: expected an object of strings"),
        (packed(changed(__metadata__=None)), "__metadata__: expected an object of strings"),
        (packed(b'{"a":{},"a":{}}'), "key 'a' appears twice"),
        (packed({"a\0b": TWO["a"]}, 12), "tensor name: expected a printable"),
        (packed({"../a\n": TWO["a"]}, 12), "tensor name: expected a printable"),
        (packed({"": TWO["a"]}, 12), "tensor name: expected a printable"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(data: bytes, match: str) -> None:
    with pytest.raises(InputError, match=match):
        read_header(data, "f")


numbers = st.sampled_from([0, 1, 2, 3, 6, 8, 12, 20, -1, 2**31, 2**32, 2**48, 2**61, 2**63, 2**64, 0.5, True, None])
entry = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from([*ITEM_SIZES, "F4", "C64", "f16", "F8_E8M0", None]),
        "shape": st.lists(numbers, max_size=4) | numbers,
        "data_offsets": st.lists(numbers, min_size=1, max_size=3)
        | st.sampled_from([[0, 12], [12, 20], [0, 20], [0, 0]]),
        "more": numbers,
    },
)
good = st.sampled_from([TWO["a"], TWO["b"]])
headers = st.dictionaries(st.sampled_from(["a", "b", "c", "__metadata__"]), good | entry, max_size=3)


@given(headers, st.sampled_from([0, 8, 12, 20]))
def test_no_header_is_read_more_laxly_than_officially(header: Header, size: int) -> None:
    never_laxer(packed(header, size))


@given(st.integers(0, len(packed(TWO)) - 1), st.binary(max_size=2))
def test_no_damage_is_read_more_laxly_than_officially(at: int, patch: bytes) -> None:
    data = packed(TWO)
    never_laxer(data[:at] + patch + data[at + 1 :])


def never_laxer(data: bytes) -> None:
    try:
        found = ours(data)
    except InputError:
        return
    try:
        expected = official(data)
    except SafetensorError as error:
        raise AssertionError(f"the official library refuses this: {error}") from error
    assert found == expected


@pytest.mark.parametrize("count", [10_000, 1_000_000])
def test_any_number_of_empty_tensors_takes_bounded_time(count: int) -> None:
    item = b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    data = packed(b"{" + b",".join(item % i for i in range(count)) + b"}", 0)
    start = time.process_time()
    if len(data) > MAX_HEADER:
        with pytest.raises(InputError, match="expected a safetensors header of at most"):
            read_header(data, "f")
    else:
        assert len(read_header(data, "f")) == count
    assert time.process_time() - start < 5

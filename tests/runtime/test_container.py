"""The container of plans against the official library: whatever ours accepts, the official one accepts too."""

import json
import random
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from plan_bytes import container
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from fewstep import _runtime
from fewstep.errors import PlanError

TENSORS: dict[str, NDArray[Any]] = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "ü": np.arange(3, dtype=np.int64),
    "c": np.arange(8, dtype=np.uint8),
    "scalar": np.array(1, np.int32),
    "none": np.zeros((0, 4), np.float16),
}
TOKENS = [
    b"0", b"1", b"-1", b"-0", b"8", b"1.0", b"1e2", b"18446744073709551616", b"9223372036854775808", b"null", b"true",
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\u0041", b"\\ud800", b"\\", b"\xff", b"\x00", b" ", b"\n", b'"F32"',
    b'"U8"', b'"BOOL"', b'"F64"', b'"a"', b'"dtype":"F32",', b'"__metadata__":{"x":"y"},', b'"__metadata__":null,',
    b'"x":1,',
]  # fmt: skip


def accepts(data: bytes) -> bool:
    try:
        _runtime.check_container(data)
    except PlanError:
        return False
    return True


def is_official(data: bytes) -> bool:
    try:
        deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError:
        return False
    return True


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four edits of the bytes, most in the header, whose length is corrected more often than not."""
    length = struct.unpack("<Q", data[:8])[0]
    header, rest = bytearray(data[8 : 8 + length]), data[8 + length :]
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(header) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            header[at:at] = rng.choice(TOKENS)
        elif kind == 1:
            del header[at : at + rng.randrange(1, 4)]
        elif kind == 2 and at < len(header):
            header[at] ^= 1 << rng.randrange(8)
        elif kind == 3:
            digits = [k for k, byte in enumerate(header) if chr(byte).isdigit()]
            if digits:
                header[rng.choice(digits)] = ord(rng.choice("0123456789"))
        else:
            rest = rng.choice([rest, rest[:-1], rest + b"\0", rest[:-8]])
    shown = len(header) if rng.random() < 0.9 else rng.choice([0, 7, length + 1, 2**31, 2**63, 2**64 - 1])
    return struct.pack("<Q", shown) + bytes(header) + rest


@pytest.mark.parametrize("seed", range(4))
def test_it_is_never_laxer_than_the_official_library(seed: int) -> None:
    rng = random.Random(seed)
    whole = save(TENSORS, {"format": "np"})
    assert accepts(whole) and is_official(whole)
    accepted = 0
    for _ in range(5000):
        data = mutated(whole, rng)
        if accepts(data):
            accepted += 1
            assert is_official(data), data
    assert accepted > 50, "mutants that are all refused would show nothing"


def entry(begin: int, end: int, dtype: str = "U8", shape: Any = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a safetensors file, got 0 bytes"),
        (b"1234567", "got 7 bytes"),
        (struct.pack("<Q", 1) + b"", "expected at most 0 bytes, got 1"),
        (struct.pack("<Q", 2**64 - 1) + b"{}", "expected at most 2 bytes, got 18446744073709551615"),
        (container(b" {}"), 'whose header begins with "{"'),
        (container(b"[]"), 'whose header begins with "{"'),
        (container({"a": entry(0, 4)}, b"12345"), "expected 4 bytes of tensors, got 5"),
        (container({"a": entry(0, 4)}, b"123"), "expected an integer from 0 to 3, got 4"),
        (container({"a": entry(1, 4)}, b"1234"), "expected 0, no hole and no overlap, got 1"),
        (container({"a": entry(0, 2), "b": entry(3, 4)}, b"1234"), "expected 2, no hole and no overlap, got 3"),
        (container({"a": entry(0, 3), "b": entry(2, 4)}, b"1234"), "expected 3, no hole and no overlap, got 2"),
        (container({"a": entry(0, 4), "b": entry(0, 4)}, b"1234"), "expected 4, no hole and no overlap, got 0"),
        (container({"a": entry(4, 0, shape=[4])}, b"1234"), "expected 4 bytes, got -4"),
        (container({"a": entry(0, 4, shape=[3])}, b"1234"), "expected 3 bytes, got 4"),
        (container({"a": entry(0, 4, "F32", [2])}, b"1234"), "expected 8 bytes, got 4"),
        (container({"a": entry(0, 0, shape=[2**40, 2**40, 0])}), "shape: expected at most"),
        (container({"a": entry(0, 0, shape=[2**32, 2**32])}), "shape: expected at most"),
        (container({"a": entry(0, 0, shape=[0] * 9)}), "expected at most 8 items, got 9"),
        (container({"a": entry(0, 4, shape=[-4])}, b"1234"), "expected an integer from 0"),
        (container({"a": entry(0, 4, shape=[4.0])}, b"1234"), "expected an integer from 0"),
        (container({"a": entry(0, 4, shape=[True] * 2)}, b"1234"), "expected an integer from 0"),
        (container({"a": entry(0, 8, "F64", [1])}, b"12345678"), "expected F32, F16, BF16, I64, I32 or U8"),
        (container({"a": entry(0, 1), "b": entry(1, 5, "F32", [1])}, b"12345"), "no multiple of its items' size"),
        (container({"a": {**entry(0, 4), "x": 1}}, b"1234"), 'unknown key "x"'),
        (container({"a": {"dtype": "U8", "shape": [0]}}), 'key "data_offsets" is missing'),
        (container({"a" * 513: entry(0, 4)}, b"1234"), "expected a name of at most 512 bytes"),
        (container(b'{"a":{},"a":{}}'), 'key "a" appears twice'),
        (container({"__metadata__": {"a": 1}}), "__metadata__.*expected a string"),
        (container({"__metadata__": None}), "__metadata__: expected an object, got null"),
        (container(b'{"a":' * 20), "nested deeper than 16 levels"),
        (container(json.dumps({"a\n": 1}).encode()), r'"a\\x0a": expected an object'),
    ],
)
def test_each_class_of_damage_is_named(data: bytes, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        _runtime.check_container(data)

"""JSON from a stranger, read without JSON's loose ends: every reader of a document sees the same values."""

import json
import math
import re
from collections import Counter
from typing import Any

from fewstep.errors import InputError

MAX_DEPTH = 16
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def loads(data: bytes, name: str, max_size: int) -> Any:
    """The value of a UTF-8 document of at most max_size bytes and MAX_DEPTH levels.

    Refuses duplicate keys, -0, NaN, infinities and numbers that overflow to one. Raises InputError naming the document.
    """
    if len(data) > max_size:
        raise InputError(f"{name}: expected at most {max_size} bytes, got {len(data)}")
    depth = 0
    for token in _TOKENS.finditer(data):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token.group(), 0)
        if depth > MAX_DEPTH:
            raise InputError(f"{name}: nested deeper than {MAX_DEPTH} levels at byte {token.start()}")
    try:
        text = data.decode("utf-8")
        return json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite, parse_int=_integer
        )
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 at byte {error.start}") from error
    except ValueError as error:
        raise InputError(f"{name}: not legal JSON: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"key {twice[:80]!r} appears twice in one object")
    return out


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def _integer(digits: str) -> int:
    if digits == "-0":
        raise ValueError("-0 is an integer to some readers and a fraction to others")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is too large a number")
    return value

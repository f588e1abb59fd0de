"""Mutants that no test can find, because they compute the same: the line, the change, and why."""

from typing import NamedTuple


class Equivalent(NamedTuple):
    file: str
    text: str
    change: str
    reason: str


NO_STRIDE = "a row of the whole batch: sample 0 of stride 0, so that either may be anything"

EQUIVALENT = [
    Equivalent("ada_norm.py", "weight = load_row(weight_ptr, 0, n, d, mask, D, 0, None, 1.0)", "0 -> 1", NO_STRIDE),
    Equivalent("ada_norm.py", "bias = load_row(bias_ptr, 0, n, d, mask, D, 0, None, 0.0)", "0 -> 1", NO_STRIDE),
]

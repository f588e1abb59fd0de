"""Mutants that no test can find, because they compute the same: the line, the change, and why."""

from typing import NamedTuple


class Equivalent(NamedTuple):
    file: str
    text: str
    change: str
    reason: str


NO_STRIDE = "a row of the whole batch: sample 0 of stride 0, so that either may be anything"

WHOLE_HEADS = [
    ("attention_small.py", "q = load_tile(q_ptr, N - n, D, stride_qn * UNIT, 1, BLOCK_N, BLOCK_D, True, D < BLOCK_D)"),
    ("attention_small.py", "k = load_tile(k_ptr, keys, D, stride_km, 1, BLOCK_M, BLOCK_D, MASKED, D < BLOCK_D)"),
    (
        "attention_small.py",
        "v = load_tile(v_ptr, keys, D, stride_vm, stride_vd, BLOCK_M, BLOCK_D, MASKED, D < BLOCK_D)",
    ),
    ("attention_flash.py", "q = load_tile(q_ptr, N - n, D, stride_qn * UNIT, 1, BLOCK_N, BLOCK_D, True, D < BLOCK_D)"),
    ("attention_flash.py", "k = load_tile(k_row, left, D, stride_km * UNIT, 1, BLOCK_M, BLOCK_D, MASKED, D < BLOCK_D)"),
]
TOTAL = "factor = (y_scale / tl.where(total > 0, total, 1.0))[:, None]  # no key: 0, not NaN"
NO_KEYS = "without keys every exp2(-inf - top) is 0, whatever top is"
BIAS_OF_FIRST = "first += tl.load(bias_ptr + d, mask=d < D, other=0.0).to(tl.float32)[None, :]"

HALVES = "HALVES: tl.constexpr = 2 if BLOCK_N >= 256 else 1  # a wide tile ends in two goes, or its registers overflow"
PART = "write(y, m0, n1, M, N, T, part_ptr, None, None, 0, 0, 0, IS_ONE_SAMPLE)"

EQUIVALENT = [
    Equivalent("ada_norm.py", "weight = load_row(weight_ptr, 0, n, d, mask, D, 0, None, 1.0)", "0 -> 1", NO_STRIDE),
    Equivalent("ada_norm.py", "bias = load_row(bias_ptr, 0, n, d, mask, D, 0, None, 0.0)", "0 -> 1", NO_STRIDE),
    *(
        Equivalent("gated_residual_norm.py", line, "0 -> 1", NO_STRIDE)
        for line in (
            "weight = load_row(weight_ptr, 0, n, d, mask, D, 0, None, 1.0)",
            "bias = load_row(bias_ptr, 0, n, d, mask, D, 0, None, 0.0)",
            "branch_weight = load_row(branch_weight_ptr, 0, n, d, mask, D, 0, None, 1.0)",
        )
    ),
    Equivalent(
        "gated_residual_norm.py",
        "branch_weight = load_row(branch_weight_ptr, 0, n, d, mask, D, 0, None, 1.0)",
        "1.0 -> 1.1",
        "what stands for an absent weight is not used",
    ),
    *(
        Equivalent(file, line, "D < BLOCK_D -> D <= BLOCK_D", "one more mask, over what is all there")
        for file, line in WHOLE_HEADS
    ),
    Equivalent("attention_small.py", "top = tl.where(keys > 0, top, 0.0)", "0.0 -> 1.0", NO_KEYS),
    Equivalent(
        "glu.py", BIAS_OF_FIRST, "d < D -> d <= D", "bias has 2 D elements, and what is not stored may be anything"
    ),
    *(
        Equivalent(
            "attention_problem.py", "if MASK_ROWS and MASK_COLUMNS:", change, "one more mask, over what is all there"
        )
        for change in (
            "MASK_ROWS and MASK_COLUMNS -> MASK_ROWS",
            "MASK_ROWS and MASK_COLUMNS -> MASK_COLUMNS",
            "MASK_ROWS and MASK_COLUMNS -> MASK_ROWS or MASK_COLUMNS",
        )
    ),
    *(
        Equivalent("matmul.py", HALVES, change, "in how many goes a tile is written changes no value")
        for change in (
            "2 if BLOCK_N >= 256 else 1 -> 2 if not BLOCK_N >= 256 else 1",
            "BLOCK_N >= 256 -> BLOCK_N > 256",
        )
    ),
    Equivalent("matmul.py", PART, "0 -> 1", "strides of a gate and a residual that are absent"),
    *(
        Equivalent(file, line, change, why)
        for file, top in (
            ("attention_flash.py", "higher"),
            ("attention_small.py", "top"),
            ("attention_wide.py", "higher"),
        )
        for line, change, why in (
            (
                f"p = tl.exp2(s * scale - ({top} * scale - 8.0 * IS_FP8)[:, None])",
                "8.0 * IS_FP8 -> 8.0",
                "probabilities and their total are 256 times as large, exactly",
            ),
            (
                f"p = tl.exp2(s * scale - ({top} * scale - 8.0 * IS_FP8)[:, None])",
                "8.0 -> 8.8",
                "446 is still an e4m3 number, and the total has the same factor",
            ),
            (TOTAL, "0 -> 1", "the largest key adds 1 to the total, or 256: between 0 and 1 it never is"),
            (TOTAL, "1.0 -> 1.1", "what it divides is 0"),
        )
    ),
    *(
        Equivalent("attention_flash.py", line, change, "one more mask, over what is all there")
        for line, change in (
            ("BLOCK_M, TAIL_D, MASKED, D < BLOCK_D + TAIL_D,", "D < BLOCK_D + TAIL_D -> D <= BLOCK_D + TAIL_D"),
            (
                "v = load_tile(v_row, left, D, stride_vm * UNIT, stride_vd, BLOCK_M, BLOCK_D, MASKED, D < BLOCK_D)",
                "D < BLOCK_D -> D <= BLOCK_D",
            ),
            ("if HAS_LENGTHS and MASKED:", "HAS_LENGTHS and MASKED -> HAS_LENGTHS or MASKED"),
            ("if HAS_LENGTHS and MASKED:", "HAS_LENGTHS and MASKED -> HAS_LENGTHS"),
            ("if HAS_LENGTHS and MASKED:", "HAS_LENGTHS and MASKED -> MASKED"),
        )
    ),
    Equivalent(
        "attention_flash.py",
        "v = tl.where(tl.arange(0, BLOCK_M)[:, None] < left, v, 0.0)",
        "0.0 -> 1.0",
        "their probabilities are 0",
    ),
    *(
        Equivalent("activation.py", line, change, "both branches are the same at 0")
        for line, change in (
            ("return x * tl.where(x < 0, tail, 1 - tail)", "x < 0 -> x <= 0"),
            ("return x * tl.where(x < 0, e, 1.0) / (1 + e)", "x < 0 -> x <= 0"),
            ("return x * tl.where(u < 0, e, 1.0) / (1 + e)", "u < 0 -> u <= 0"),
        )
    ),
    *(
        Equivalent("strided.py", "if axis + 1 < len(SHAPE):", change, "on the last axis i % SHAPE[axis] is i")
        for change in (
            "axis + 1 < len(SHAPE) -> axis + 1 <= len(SHAPE)",
            "axis + 1 -> axis - 1",
            "axis + 1 -> 1",
            "axis + 1 -> axis",
        )
    ),
]

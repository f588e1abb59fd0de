"""Launches of PTX: the text is of the launch's kernel, for the plan's architecture and the oldest driver."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from launch_bytes import compiled, draft, image, launch, refusal
from plan_bytes import DELETED, Draft

from fewstep import _runtime

PARAMS: list[dict[str, Any]] = [
    {"kind": "ptr", "value": 0}, {"kind": "i32", "value": 1}, {"kind": "fp32", "value": 2.0},
    {"kind": "u1", "value": 1}, {"kind": "scratch", "value": None}, {"kind": "ptr", "value": None},
]  # fmt: skip
TEXT = """//
// Made by a test: not by ".version 9.9", nor } by { a compiler

.version 8.0
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 dynamic[];
.visible .entry kernel(
	.param .u64 .ptr .global .align 1 kernel_param_0,
	.param .u32 kernel_param_1,
	.param .f32 kernel_param_2, /* a comment */
	.param .u8 kernel_param_3,
	.param .u64 kernel_param_4,
	.param .u64 kernel_param_5
)
.reqntid 128
{
	.reg .b32 %r<2>;
	.shared .align 4 .b8 fixed[32];
	.pragma "nounroll } ";
	{ ret; }
}
"""


def plan(text: str | bytes = TEXT, **changed: Any) -> Draft:
    """For sm_90, and for later ones by PTX."""
    out = draft(image((8, 4, 4, 1, 8, 8)), [launch(PARAMS)])
    portable = launch(PARAMS, architecture=80) | {"ptx": "text", **changed}
    del portable["cubin"]
    out.stages[0]["ops"][0]["launches"].insert(0, portable)
    out.target["ptx"] = 80
    data = text.encode() + b"\0" if isinstance(text, str) else text
    out.tensors["text"] = np.frombuffer(data, np.uint8)
    return out


def test_a_plan_with_ptx() -> None:
    _runtime.check_plan(plan().bytes())


LAUNCH: list[tuple[dict[str, Any], str]] = [
    ({"architecture": 90}, "architecture 90 is none of the plan's"),
    ({"threads": 64}, "expected 128 threads of the kernel, got 64"),
    ({"cluster": 2}, "a cluster of 2 is beyond sm_80"),
    ({"entry": "other"}, 'ptx "text": not legal PTX: it has no kernel "other"'),
    ({"shared": 163 * 1024 - 31}, "expected at most 166912 bytes of shared memory on sm_80, got 166913"),
    ({"params": PARAMS[1:]}, "params: expected 6 of the kernel, got 5"),
    ({"params/1/kind": "i64"}, r"params[1]: expected 4 bytes of the kernel, got 8 of i64"),
    ({"ptx": "cubin"}, 'ptx "cubin": not legal PTX: it '),
    ({"ptx": DELETED, "cubin": "text"}, "architecture 80 is none of the plan's"),
]


@pytest.mark.parametrize(("edits", "message"), LAUNCH, ids=[str(edits) for edits, _ in LAUNCH])
def test_a_launch(edits: dict[str, Any], message: str) -> None:
    assert message in refusal(plan(), edits)


EDITS: list[tuple[str, str, str]] = [
    (".version 8.0", ".version 8.1", 'expected a version of at most 8.0, got "8.1"'),
    (".version 8.0", ".version 80", "expected a version of at most 8.0"),
    (".version 8.0\n", "", 'expected ".version", got ".target"'),
    ("sm_80", "sm_86", 'expected "sm_80", got "sm_86"'),
    ("sm_80", "sm_80a", 'expected "sm_80", got "sm_80a"'),
    ("sm_80", "sm_80, debug", 'expected ".address_size", got ","'),
    ("address_size 64", "address_size 32", 'expected "64", got "32"'),
    (".u32", ".u33", 'a declaration with ".u33"'),
    (".u32", ".u32 .u8", 'a declaration with ".u8"'),
    (".u32", "", "a declaration without a type"),
    (".u32", ".b8 .align many", 'expected a number, got "many"'),
    ("kernel_param_1", "kernel_param_1[2]", "expected 8 bytes of the kernel, got 4 of i32"),
    ("kernel_param_1,", "kernel_param_1[99999999999999999999],", "expected a number"),
    ("kernel_param_5\n)", "kernel_param_5\n", 'expected ",", got ".reqntid"'),
    (".reqntid 128", ".reqntid 8, 8, 1", "expected 64 threads of the kernel, got 128"),
    (".reqntid 128", ".maxntid 64", "expected 64 threads of the kernel, got 128"),
    (".reqntid 128", ".reqnctapercluster 2", "expected a cluster of 2 of the kernel, got 1"),
    (".reqntid 128", ".unheard 1", 'a kernel with ".unheard"'),
    ("fixed[32]", "fixed[166000]", "bytes of shared memory"),
    ("{ ret; }", "{ ret;", "it ends within braces"),
    ("{ ret; }", "ret; } }", "a brace too many"),
    ("{ ret; }", "} .entry kernel() {", "it has more than one kernel"),
    (".visible .entry", ".visible .func", 'it has no kernel "kernel"'),
    ('} ";', "} ;", "a string without an end"),
    ("a comment */", "a comment", "a comment without an end"),
    ("ret;", "r\0t;", "it is not plain text"),
    ("ret;", "rét;", "it is not plain text"),
]


@pytest.mark.parametrize(("before", "after", "message"), EDITS, ids=[f"{a} to {b}" for a, b, _ in EDITS])
def test_a_text(before: str, after: str, message: str) -> None:
    assert before in TEXT
    assert message in refusal(plan(TEXT.replace(before, after, 1)))


def test_texts_that_are_none() -> None:
    whole = TEXT.encode() + b"\0"
    for text in (whole[:-1], b"x"):
        assert "it does not end with a zero" in refusal(plan(text))
    assert "it has more than 16 MiB" in refusal(plan(whole[:-1] + b" " * (16 << 20) + b"\0"))
    for length in range(0, len(TEXT) - 2, 7):
        assert "not legal PTX" in refusal(plan(TEXT[:length]))


def test_every_operation_has_ptx_or_none() -> None:
    without = plan()
    del without.stages[0]["ops"][0]["launches"][0]
    assert "launches: there is none of PTX" in refusal(without)
    unknown = plan()
    unknown.target["ptx"] = 81
    assert "PTX of 81 is not known" in refusal(unknown)
    more = plan()
    del more.target["ptx"]
    assert "architecture 80 is none of the plan's" in refusal(more)


def test_the_compilers_own_text_is_read() -> None:
    name, _, encoded = json.loads(compiled())["80"]
    text = base64.b64decode(encoded)
    kinds = [*PARAMS[:3], *PARAMS[4:]]
    _runtime.check_plan(plan(text, entry=name, params=kinds).bytes())
    assert "expected 4 bytes of the kernel" in refusal(plan(text, entry=name, params=kinds), {"params/1/kind": "i64"})
    assert "threads of the kernel, got 64" in refusal(plan(text, entry=name, params=kinds), {"threads": 64})

"""Every row of the table of operations, with operands that fit it and with each that does not."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from plan_bytes import DELETED, Draft, edited, plan_bytes

from fewstep import _runtime
from fewstep.errors import PlanError


@dataclass(frozen=True)
class Case:
    """inputs and outputs: shapes, or a type and a shape, None where one is left out. Inputs are values 0, 1, ...,
    then come the outputs. wrong: edits of values ("0": shape) and of the op ("attributes/groups") with their error."""

    op: str
    inputs: Sequence[Any]
    outputs: Sequence[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    wrong: Sequence[tuple[Mapping[str, Any], str]] = ()
    name: str = ""  # where it is not the operation's

    def draft(self) -> Draft:
        draft = Draft()
        inputs = [None if spec is None else draft.given(*_spec(spec)) for spec in self.inputs]
        outputs = [draft.value(*_spec(spec)) for spec in self.outputs]
        draft.op(self.op, inputs, outputs, **self.attributes)
        draft.outputs = {f"output{value}": value for value in outputs}
        return draft


def _spec(spec: Any) -> tuple[Any, ...]:
    return spec if isinstance(spec[0], str) else ("f32", *spec)


CONV = {
    "stride": [2, 1], "padding": [1, 0, 2, 1], "dilation": [1, 2], "groups": 2, "activation": "silu", "scale": 0.5,
    "upsample": 2,
}  # fmt: skip
MATMUL = {"activation": "gelu", "scale": 1.0, "glu": "gate_first"}
GROUP_NORM = {"groups": 2, "eps": 1e-5, "activation": ""}
STATE = (2, 3, 4, 4)
SEEDS, FLAG = ("i64", 2), ("i32", 2)

CASES = [
    Case("map", [(2, 3), ("i64", 2, 3), ("u8", 2, 3)], [("i32", 2, 3)], {"code": [["where", 0, 1, 2]]}, [
        ({"0": [3, 2]}, r"input: expected shape \(2, 3\), got \(3, 2\)"),
        ({"attributes/code": DELETED}, 'key "code" is missing'),
        ({"attributes/extra": 1}, 'unknown key "extra"'),
        ({"attributes/code/0/0": "fma"}, 'unknown instruction "fma"'),
        ({"attributes/code/0/3": 3}, r"code\[0\]\[3\]: expected an integer from 0 to 2, got 3"),
        ({"attributes/code/0/3": -1}, "expected an integer from 0 to 2, got -1"),
        ({"attributes/code/0": ["where", 0, 1]}, 'expected 3 operands of "where", got 2'),
        ({"attributes/code/0": ["neg", 0, 1]}, 'expected 1 operands of "neg", got 2'),
        ({"attributes/code/0": ["add", 0]}, 'expected 2 operands of "add", got 1'),
        ({"attributes/code/0": ["const"]}, 'expected 1 operands of "const", got 0'),
        ({"attributes/code/0": ["const", "1"]}, "expected a number"),
        ({"attributes/code/0": []}, "expected an instruction"),
        ({"attributes/code": []}, "expected one input of a map without instructions, got 3"),
        ({"attributes/code": [["neg", 0]] * 257}, "expected at most 256 items, got 257"),
        ({"inputs": [0] * 17}, "expected at most 16 items, got 17"),
    ]),
    Case("conv2d", [(2, 4, 5, 6), (6, 2, 3, 2), (6,), (2, 6), (2, 6, 6, 11)], [(2, 6, 6, 11)], CONV, [
        ({"0": [2, 4, 30]}, r"x: expected 4 axes, got \(2, 4, 30\)"),
        ({"1": [6, 6, 2]}, "weight: expected 4 axes"),
        ({"1": [6, 1, 3, 4]}, r"weight: expected shape \(6, 2, 3, 4\), got \(6, 1, 3, 4\)"),
        ({"2": [3, 2]}, r"bias: expected shape \(6\)"),
        ({"3": [6, 2]}, r"embedding: expected shape \(2, 6\)"),
        ({"4": [2, 6, 11, 6]}, r"residual: expected shape \(2, 6, 6, 11\)"),
        ({"5": [2, 6, 11, 6]}, r"y: expected shape \(2, 6, 6, 11\)"),
        ({"attributes/stride": [2]}, "expected stride of two positive"),
        ({"attributes/stride": [2, 0]}, "expected stride of two positive"),
        ({"attributes/padding": [1, 0]}, "expected padding of four"),
        ({"attributes/padding/0": -1}, "expected an integer from 0"),
        ({"attributes/padding/3": 2}, r"y: expected shape \(2, 6, 6, 12\)"),
        ({"attributes/dilation": [0, 1]}, "expected dilation of two positive"),
        ({"attributes/dilation": [7, 2]}, "expected a kernel no larger than x"),
        ({"attributes/groups": 0}, "expected groups that divide"),
        ({"attributes/groups": 4}, "expected groups that divide"),
        ({"attributes/upsample": 3}, "expected upsample 1 or 2"),
        ({"attributes/activation": "swish"}, 'unknown activation "swish"'),
        ({"attributes/scale": "1"}, "scale: expected a number"),
        ({"type 0": "u8"}, "input: its type is not one"),
        ({"type 5": "i32"}, "y: its type is not one"),
    ]),
    Case("matmul", [(2, 3, 4), (2, 4, 10), (10,), (2, 3, 5), (2, 3, 5)], [(2, 3, 5)], MATMUL, [
        ({"0": [24]}, r"a: expected 2 to 8 axes, got \(24\)"),
        ({"1": [2, 10, 4]}, r"b: expected shape \(2, 4, 10\)"),
        ({"1": [80]}, r"b: expected shape \(2, 4, 10\)"),
        ({"2": [5, 2]}, r"bias: expected shape \(10\)"),
        ({"3": [2, 5, 3]}, r"gate: expected shape \(2, 3, 5\)"),
        ({"4": [2, 5, 3]}, r"residual: expected shape \(2, 3, 5\)"),
        ({"5": [2, 5, 3]}, r"y: expected shape \(2, 3, 3\)"),
        ({"5": [6, 5]}, "y: expected 3 axes"),
        ({"attributes/glu": ""}, r"b: expected shape \(2, 4, 5\)"),
        ({"attributes/glu": "both"}, "expected glu"),
        ({"attributes/activation": 0}, "activation: expected a string"),
        ({"type 1": "i32"}, "input: its type"),
    ]),
    Case("group_norm", [(2, 4, 3), (4,), (4,), (2, 4), (2, 4), (2, 4, 3)], [(2, 4, 3), (2, 4, 3)], GROUP_NORM, [
        ({"0": [24]}, "x: expected 2 to 8 axes"),
        ({"1": [2, 2]}, r"weight: expected shape \(4\)"),
        ({"2": [2, 2]}, r"bias: expected shape \(4\)"),
        ({"3": [4, 2]}, r"scale: expected shape \(2, 4\)"),
        ({"4": [4, 2]}, r"shift: expected shape \(2, 4\)"),
        ({"5": [2, 3, 4]}, r"residual: expected shape \(2, 4, 3\)"),
        ({"6": [2, 3, 4]}, r"y: expected shape \(2, 4, 3\)"),
        ({"7": [2, 3, 4]}, r"sum: expected shape \(2, 4, 3\)"),
        ({"attributes/groups": 3}, "expected groups that divide"),
        ({"attributes/groups": 0}, "expected groups that divide"),
        ({"attributes/eps": -1e-9}, "expected eps of at least 0"),
        ({"attributes/activation": "x"}, "unknown activation"),
        ({"type 7": "i32"}, "output: its type"),
    ]),
    Case("layer_norm", [(2, 3, 4), (4,), (4,), (2, 3, 4), (2, 3, 4)], [(2, 3, 4)], {"eps": 0}, [
        ({"1": [2, 2]}, r"weight: expected shape \(4\)"),
        ({"3": [2, 4, 3]}, r"scale: expected shape \(2, 3, 4\)"),
        ({"5": [2, 4, 3]}, r"y: expected shape \(2, 3, 4\)"),
        ({"attributes/eps": DELETED}, 'key "eps" is missing'),
        ({"inputs": [0, 1, 2, 3, 4, 0]}, "expected at most 5 items"),
    ]),
    Case("rms_norm", [(4,), None, (4,)], [(4,)], {"eps": 1e-6}, [({"2": [2, 2]}, r"y: expected|weight: expected")]),
    Case("attention", [(2, 4, 3, 8), (2, 2, 5, 8), (2, 2, 5, 8), (2, 4, 3, 5)], [(2, 4, 3, 8)],
        {"scale": 0.3, "causal": 0}, [
        ({"0": [8, 3, 8]}, "q: expected 4 axes"),
        ({"1": [10, 2, 8]}, "k: expected 4 axes"),
        ({"1": [2, 5, 2, 8]}, "expected heads of k and v that divide"),
        ({"2": [2, 2, 8, 5]}, r"v: expected shape \(2, 2, 5, 8\)"),
        ({"3": [2, 4, 5, 3]}, r"mask: expected shape \(2, 4, 3, 5\)"),
        ({"4": [2, 3, 4, 8]}, r"y: expected shape \(2, 4, 3, 8\)"),
        ({"attributes/causal": 2}, "expected causal 0 or 1"),
        ({"attributes/causal": True}, "causal: expected an integer"),
        ({"type 3": "u8"}, "input: its type"),
    ]),
    Case("softmax", [(2, 3)], [(2, 3)], {}, [
        ({"1": [3, 2]}, r"y: expected shape \(2, 3\)"),
        ({"type 0": "i32"}, "x: its type"),
    ]),
    Case("reduce", [(2, 3, 4)], [(2,)], {"kind": "max", "axes": 2}, [
        ({"attributes/kind": "prod"}, "expected kind mean"),
        ({"attributes/axes": 0}, "expected axes from 1"),
        ({"attributes/axes": 4}, "expected axes from 1"),
        ({"attributes/axes": 1}, r"y: expected shape \(2, 3\)"),
        ({"attributes/axes": 3}, r"y: expected shape \(\)"),
    ]),
    Case("gather", [(7, 4), ("i64", 2, 3)], [(2, 3, 4)], {}, [
        ({"1": [3, 2]}, r"y: expected shape \(3, 2, 4\)"),
        ({"type 1": "i32"}, "indices: its type"),
        ({"type 0": "i32"}, "table: its type"),
    ]),
    Case("initial_state", [SEEDS, (2,)], [STATE, STATE], {}, [
        ({"2": [96]}, "x: expected 2 to 8 axes"),
        ({"2": [6, 4, 4, 1], "3": [6, 4, 4, 1]}, r"seeds: expected shape \(6\)"),
        ({"3": [2, 4, 3, 4]}, r"u: expected shape \(2, 3, 4, 4\)"),
        ({"type 0": "u8"}, "seeds: its type"),
        ({"type 2": "i32"}, "x: its type"),
        ({"type 3": "u8"}, "u: its type"),
        ({"1": [1, 2]}, r"scales: expected shape \(2\)"),
    ]),
    Case("sampler_step", [STATE, STATE, (11,), SEEDS, STATE, STATE], [STATE, STATE, FLAG, STATE], {}, [
        ({"inputs/4": None}, r"row: expected shape \(9\)"),
        ({"1": [2, 4, 3, 4]}, r"m, m2, history, mask, known, x or y: expected shape \(2, 3, 4, 4\)"),
        ({"4": [2, 4, 3, 4]}, r"m, m2, history, mask, known, x or y: expected shape"),
        ({"5": [2, 4, 3, 4]}, r"m, m2, history, mask, known, x or y: expected shape"),
        ({"6": [2, 4, 3, 4]}, r"m, m2, history, mask, known, x or y: expected shape"),
        ({"7": [2, 4, 3, 4]}, r"u: expected shape"),
        ({"8": [1, 2]}, r"flag: expected shape \(2\)"),
        ({"9": [2, 4, 3, 4]}, r"m, m2, history, mask, known, x or y: expected shape"),
        ({"type 1": "i32"}, "m or m2: its type"),
        ({"type 5": "i32"}, "history, mask, known, x or y: its type"),
        ({"type 8": "f32"}, "flag: its type"),
        ({"inputs/5": None}, "expected y where there is history"),
        ({"inputs/0": None}, "expected an integer from 0"),
    ]),
    Case("sampler_step", [STATE, STATE, (9,), STATE, None, None, STATE, STATE], [STATE, STATE, FLAG], {}, [
        ({"3": [2, 4, 3, 4]}, r"noise: expected shape \(2, 3, 4, 4\)"),
        ({"type 3": "i32"}, "seeds: expected shape"),
        ({"4": [2, 4, 3, 4]}, r"m, m2, history, mask, known, x or y: expected shape"),
        ({"5": [2, 4, 3, 4]}, r"m, m2, history, mask, known, x or y: expected shape"),
        ({"type 4": "i32"}, "history, mask, known, x or y: its type"),
        ({"type 5": "u8"}, "history, mask, known, x or y: its type"),
        ({"inputs/6": None}, "expected known where there is a mask, and only there"),
        ({"inputs/7": None}, "expected known where there is a mask, and only there"),
        ({"inputs": [0, 1, 2, 3, None, None, 4, 5, 5]}, "expected at most 8 items"),
    ], name="sampler_step.masked"),
    Case("to_uint8", [(2, 3, 4, 5)], [("u8", 2, 4, 5, 3)], {"scale": 2, "shift": -0.5}, [
        ({"0": [2, 4, 3, 5]}, r"x: expected shape \(2, 3, 3, 5\)"),
        ({"1": [2, 3, 4, 5]}, r"images: expected shape \(2, 4, 5, 3\)"),
        ({"type 0": "i32"}, "x: its type"),
    ]),
]  # fmt: skip
# Which inputs may be written over by which output.
IN_PLACE = {
    "map": {(0, 0), (0, 1), (0, 2)}, "conv2d": {(0, 4)}, "matmul": {(0, 4)}, "softmax": {(0, 0)},
    "group_norm": {(0, 0), (0, 5), (1, 0), (1, 5)}, "layer_norm": {(0, 0)}, "rms_norm": {(0, 0)},
    "sampler_step": {(0, 0), (3, 5)},
}  # fmt: skip


def translated(edits: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in edits.items():
        if key.startswith("type "):
            out[f"values/{key.removeprefix('type ')}/type"] = value
        elif key.isdigit():
            draft = Draft()
            draft.value("f32", *value)
            out |= {f"values/{key}/shape": value, f"values/{key}/strides": draft.values[0]["strides"]}
        else:
            out[f"stages/0/ops/0/{key}"] = value
    return out


@pytest.mark.parametrize("case", CASES, ids=[case.name or case.op for case in CASES])
def test_what_fits_and_what_does_not(case: Case) -> None:
    draft = case.draft()
    _runtime.check_plan(draft.bytes())
    for edits, message in case.wrong:
        with pytest.raises(PlanError) as caught:
            _runtime.check_plan(plan_bytes(edited(draft.document(), translated(edits)), {}))
        assert re.search(message, str(caught.value)), (edits, str(caught.value))
        assert f'ops[0]: "a {case.op}"' in str(caught.value) or f'ops[0]: {case.op} "a {case.op}"' in str(caught.value)


@pytest.mark.parametrize("case", CASES, ids=[case.op for case in CASES])
def test_an_output_shares_bytes_only_where_the_table_says(case: Case) -> None:
    """Each output laid over each input in turn: the same view, where shapes allow, and one that only overlaps."""
    inputs = [index for index, spec in enumerate(case.inputs) if spec is not None]
    for number in range(len(case.outputs)):
        for place, index in enumerate(inputs):
            draft = case.draft()
            output = draft.values[len(inputs) + number]
            target = draft.values[place]
            like = output["shape"] == target["shape"] and output["type"] == target["type"]
            output["buffer"] = target["buffer"]
            draft.buffers[target["buffer"]][1] += 4096
            draft.buffers = [[4096 * 2 * k, size] for k, (_, size) in enumerate(draft.buffers)]
            if like and (number, index) in IN_PLACE.get(case.op, ()):
                _runtime.check_plan(draft.bytes())
            else:
                with pytest.raises(PlanError, match="shares bytes with input"):
                    _runtime.check_plan(draft.bytes())
            if like:
                output["offset"] = 1
                with pytest.raises(PlanError, match="shares bytes with input"):
                    _runtime.check_plan(draft.bytes())

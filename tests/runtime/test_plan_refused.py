"""Programs that break one rule of docs/plan.md each are refused before anything runs, in one line that says why."""

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from plan_bytes import DELETED, Draft, begun, container, edited, generation, network, plan_bytes

from fewstep import _runtime
from fewstep.errors import PlanError

MOST = 2**31 - 1
NETWORK: list[tuple[dict[str, Any], str]] = [
    ({"format": "fewstep-bundle"}, 'format: expected "fewstep-plan"'),
    ({"version": 2}, "reads plans of version 1, got 2: compile the bundle again, or update fewstep"),
    ({"version": 0}, "reads plans of version 1, got 0"),
    ({"version": 1.0}, "version: expected an integer"),
    ({"version": True}, "version: expected an integer"),
    ({"made_by": DELETED}, 'key "made_by" is missing'),
    ({"extra": 1}, 'unknown key "extra"'),
    ({"made_by": 3}, "made_by: expected a string"),
    ({"target": {"device": "tpu"}}, 'expected device "cpu" or "cuda"'),
    ({"target": {"device": "cpu", "ptx": 80}}, 'unknown key "ptx"'),
    ({"target": {"device": "cuda"}}, 'key "architectures" is missing'),
    ({"target": {"device": "cuda", "architectures": []}}, "expected at least 1 items"),
    ({"target": {"device": "cuda", "architectures": [91]}}, "sm_91 is not known"),
    ({"target": {"device": "cuda", "architectures": [90]}}, "launches: there is none for sm_90"),
    ({"precision": "float8"}, "expected float32, float16 or bfloat16"),
    ({"model/name": DELETED}, 'model: key "name" is missing'),
    ({"model/other": ""}, 'model: unknown key "other"'),
    ({"batch": 0}, "batch: expected an integer from 1"),
    ({"digests": {}}, 'digests: tensor "w" has none'),
    ({"digests": {"w": "0" * 63}}, "a SHA-256 as 64 hexadecimal digits"),
    ({"digests": {"w": "g" * 64}}, "a SHA-256 as 64 hexadecimal digits"),
    ({"digests": {"v": "0" * 64}}, 'the file has no tensor "v"'),
    ({"digests": {"w": "0" * 64}}, "damaged: expected SHA-256 000"),
    ({"arena": 2**40 + 1}, "arena: expected an integer from 0"),
    ({"arena": 64}, r"buffers\[1\]: 24 bytes at 64 are not in an arena of 64"),
    ({"buffers/0": [0]}, "expected at least 2 items"),
    ({"buffers/0/0": 32}, "offset 32 is no multiple of 64"),
    ({"buffers/0/0": -64}, "expected an integer from 0"),
    ({"buffers/2/0": 2**40}, "are not in an arena"),
    ({"buffers/0/1": 0}, "0 bytes at 0 are not in an arena"),
    ({"buffers/0/1": 23}, r"values\[0\]: reaches beyond the 23 bytes of its buffer"),
    ({"values/0/type": "f64"}, "type: expected f32"),
    ({"values/0/type": "i64"}, "reaches beyond the 24 bytes"),
    ({"values/0/type": "f16"}, "a buffer holds no f16 or bf16"),
    ({"values/1/type": "i32"}, "its type is not that of its weight"),
    ({"values/0/shape": [2, 0]}, r"shape\[1\]: expected an integer from 1"),
    ({"values/0/shape": [2, -3]}, r"shape\[1\]: expected an integer from 1"),
    ({"values/0/shape": [2]}, "expected a stride for each of 1 axes, got 2"),
    ({"values/0/shape": [1] * 9, "values/0/strides": [1] * 9}, "expected at most 8 items, got 9"),
    ({"values/0/shape": [MOST, MOST], "values/0/strides": [0, 0]}, "shape: expected at most"),
    ({"values/0/shape": [MOST] * 8, "values/0/strides": [0] * 8}, "shape: expected at most"),
    ({"values/0/strides": [2**40, 1]}, "reaches beyond"),
    ({"values/0/strides": [4, 1]}, "reaches beyond"),
    ({"values/0/strides": [-1, 1]}, "expected an integer from 0"),
    ({"values/0/strides/1": 1.0}, "expected an integer"),
    ({"values/0/offset": 1}, "reaches beyond"),
    ({"values/0/offset": -1}, "offset: expected an integer from 0"),
    ({"values/0/offset": True}, "offset: expected an integer"),
    ({"values/1/offset": 1}, "reaches beyond the 12 bytes of its weight"),
    ({"values/0/buffer": 3}, "buffer: expected an integer from 0 to 2"),
    ({"values/0/buffer": DELETED}, 'expected either "buffer" or "weight"'),
    ({"values/0/weight": "w"}, 'expected either "buffer" or "weight"'),
    ({"values/1/weight": "v"}, 'the file has no tensor "v"'),
    ({"inputs/input0": 4}, "expected an integer from 0 to 3"),
    ({"inputs/input0": 1}, 'inputs: "input0": expected a value in a buffer'),
    ({"inputs/again": 0}, "a buffer that no other input is in"),
    ({"inputs": {}}, "input 0 reads buffer 0, which nothing before it wrote"),
    ({"values/0/strides": [1, 1]}, "without two elements at one address"),
    ({"values/0/row": 1}, "a value that does not move"),
    ({"values/3/step": 1}, "a value in a buffer that does not move"),
    ({"outputs/y": 1}, "a value in a buffer that does not move"),
    ({"outputs/flag": 3}, '"flag" has not the type'),
    ({"stages": []}, 'expected the stage "network" alone'),
    ({"stages/0/name": "step"}, 'expected the stage "network" alone'),
    ({"stages/0/steps": 1}, 'expected the stage "network" alone'),
    ({"stages/0/ops": []}, '"y" is never written'),
    ({"passes": {}}, "passes: expected a list"),
    ({"certificate": None}, "certificate: expected an object, got null"),
    ({"schedule": None}, "schedule: expected an object, got null"),
    ({"stages/0/ops/0/op": "fft"}, 'ops\\[0\\]: "a map": operation "fft" is not .* onnxruntime backend'),
    ({"stages/0/ops/0/launches": [{}]}, 'expected one of "cubin", "ptx" and "library"'),
    ({"stages/0/ops/0/inputs/1": None}, "expected an integer from 0"),
    ({"stages/0/ops/0/outputs/0": None}, "expected an integer from 0"),
    ({"stages/0/ops/0/outputs": []}, "expected at least 1 values, got 0"),
    ({"stages/0/ops/0/outputs/0": 1}, "writes to a weight"),
    ({"values/2/strides": [0, 1]}, "an output with two elements at one address"),
    ({"values/2/strides": [1, 1]}, "an output with two elements at one address"),
    # Values 0, 2 and 3 are x, what lies between, and y.
    ({"stages/0/ops/1/inputs/0": 3}, "reads buffer 2, which nothing before it wrote"),
    ({"values/2/buffer": 0, "values/2/strides": [1, 2]}, "output 0 shares bytes with input 0, which is not in place"),
    ({"values/2/buffer": 0, "buffers/0/1": 48, "values/2/offset": 5}, "shares bytes with input 0"),
    ({"buffers/1/0": 0}, "buffers 0 and 1 share bytes while both are live"),
    ({"buffers/2/0": 64}, "buffers 1 and 2 share bytes while both are live"),
    ({"buffers/1": [0, 88]}, "buffers 0 and 1 share bytes while both are live"),
    ({"buffers/0": [0, 128]}, "buffers 0 and 1 share bytes while both are live"),
]  # fmt: skip
# Values of a generation: 0 tau, 1 coefficients, 2 scales, 3 seeds, 4 table, 5 modulated, 6 x, 7 u, 8 m, 9 history,
# 10 flag, 11 images, 12 table at the row, 13 modulated at the step, 14 scales and 15 coefficients at the row.
GENERATION: list[tuple[dict[str, Any], str]] = [
    ({"model/manifest": DELETED}, 'key "manifest" is missing'),
    ({"schedule": DELETED, "model/manifest": DELETED}, 'expected the stage "network" alone'),
    ({"schedule/rows": 0}, "rows: expected an integer from 1"),
    ({"schedule/counts": {}}, "expected at least one step count"),
    ({"schedule/counts/1": 3}, 'counts: "1": expected an integer from 0 to 2'),
    ({"schedule/counts/2": 2}, 'counts: "2": expected an integer from 0 to 1'),
    ({"schedule/counts": {"0": 0}}, "expected a step count from 1"),
    ({"schedule/counts": {"01": 0}}, "expected a step count from 1"),
    ({"schedule/counts": {"": 0}}, "expected a step count from 1"),
    ({"schedule/counts": {"2x": 0}}, "expected a step count from 1"),
    ({"schedule/counts": {"1001": 0}}, "expected a step count from 1"),
    ({"schedule/tau/tensor": "t"}, 'the file has no tensor "t"'),
    ({"schedule/tau/tensor": "scales"}, "tau: expected a tensor of the value's shape"),
    ({"schedule/tau/value": 6}, "tau: expected its columns for each row"),
    ({"schedule/scales/value": 0, "schedule/scales/tensor": "tau"}, "a buffer that no other input is in"),
    ({"values/0/row": 1, "buffers/0/1": 64}, "a value that does not move"),
    ({"inputs": {}}, 'a generation has "seeds"'),
    ({"inputs/seeds": 10}, '"seeds" has not the type'),
    ({"inputs/labels": 10}, '"labels" has not the type'),
    ({"outputs/images": DELETED}, 'a generation has "images"'),
    ({"outputs/flag": DELETED}, 'a generation has "flag"'),
    ({"outputs/images": 7}, '"images" has not the type'),
    ({"outputs/latents": 11}, '"latents" has not the type'),
    ({"values/12/row": 2}, r"values\[12\]: reaches beyond the 12 bytes of its buffer"),
    ({"values/13/step": 2}, r"values\[13\]: reaches beyond the 8 bytes of its buffer"),
    ({"values/12/row": 2**40}, "reaches beyond"),
    ({"values/12/row": 2**40 + 1}, "row: expected an integer from 0"),
    ({"stages/0/name": "table"}, 'unknown stage "table"'),
    ({"stages/0/name": "step"}, 'stage "modulation" comes too late'),
    ({"stages/3/name": "prompt"}, 'stage "prompt" comes too late'),
    ({"stages/4/name": "start"}, 'stage "start" appears twice'),
    ({"stages/5/name": "step"}, 'stage "step" appears twice'),
    ({"stages/2/steps": 1}, "modulation of 1 steps appears twice"),
    ({"stages/2/steps": 3}, "expected a step count of the schedule for modulation"),
    ({"stages/0/steps": 1}, "0 elsewhere, got 1"),
    ({"schedule/counts/3": 0, "buffers/5": [832, 12], "arena": 896}, "expected modulation for every step count"),
    ({"stages/2/ops": []}, "input 2 reads buffer 5, which nothing before it wrote"),
    ({"stages/0/ops/0/inputs": [3], "stages/0/ops/0/outputs": [10]}, "reads buffer 3, which nothing before it wrote"),
    ({"stages/0/ops/0/outputs/0": 0}, "writes to the schedule"),
    ({"stages/4/ops/2/outputs": [6, 7, 10]}, "expected y where there is history, and only there"),
    ({"stages/4/ops/2/outputs": [6, 6, 10, 9]}, "two outputs share bytes"),
    ({"stages/4/ops/2/inputs/2": 14}, r"row: expected shape \(9\), got \(2\)"),
    ({"stages/4/ops/2/inputs/4": 8}, r"row: expected shape \(11\), got \(9\)"),
    ({"buffers/6/0": 0}, "buffers 0 and 6 share bytes"),
    # History is live between the steps, though one op alone names it.
    ({"buffers/9/0": 832}, "buffers 9 and 12 share bytes"),
    ({"stages/5/ops/0/attributes/scale": "1"}, "scale: expected a number"),
    ({"values/11/shape": [1, 2, 2, 2], "outputs/images": 11}, "has not the type and the shape"),
    ({"stages/3/ops/0/inputs/1": 15}, r"scales: expected shape \(2\), got \(9\)"),
]  # fmt: skip


def refusal(draft: Draft, edits: dict[str, Any]) -> str:
    with pytest.raises(PlanError) as caught:
        _runtime.check_plan(plan_bytes(edited(draft.document(), edits), draft.tensors))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_what_is_broken_below_is_whole() -> None:
    for draft in (network(), generation()):
        _runtime.check_plan(draft.bytes())


@pytest.mark.parametrize(("edits", "message"), NETWORK, ids=[str(edits)[:60] for edits, _ in NETWORK])
def test_a_network(edits: dict[str, Any], message: str) -> None:
    found = refusal(network(), edits)
    assert re.search(message, found), found


@pytest.mark.parametrize(("edits", "message"), GENERATION, ids=[str(edits)[:60] for edits, _ in GENERATION])
def test_a_generation(edits: dict[str, Any], message: str) -> None:
    found = refusal(generation(), edits)
    assert re.search(message, found), found


# Values beyond those of a generation: 21 state, 22 mask, 23 noise, 24 known, 25 noise and 26 known at the step.
BEGUN: list[tuple[dict[str, Any], str]] = [
    ({"inputs/state": DELETED}, 'a generation has "seeds"'),
    ({"inputs/state": DELETED, "inputs/seeds": 3}, 'a generation has "state"'),
    ({"inputs/noise": DELETED}, 'a generation has "noise"'),
    ({"inputs/picture": DELETED}, 'a generation has "picture"'),
    ({"inputs/picture_mask": DELETED}, "reads buffer 14, which nothing before it wrote"),
    ({"inputs/state": 10}, '"state" has not the type'),
    ({"values/23/shape/0": 1}, '"noise" has not the type'),
    ({"values/24/shape/0": 1}, '"picture" has not the type'),
    ({"values/22/shape": [1, 2, 1, 1], "values/22/strides": [4, 2, 1, 1]}, '"picture_mask" has not the type'),
    ({"values/23/type": "i32"}, '"noise" has not the type'),
    ({"values/25/step": 13}, r"values\[25\]: reaches beyond the 96 bytes of its buffer"),
    ({"values/24/buffer": 15}, "a buffer that no other input is in"),
]


@pytest.mark.parametrize(("edits", "message"), BEGUN, ids=lambda given: str(given)[:60])
def test_a_generation_that_begins_anywhere(edits: dict[str, Any], message: str) -> None:
    found = refusal(begun(), edits)
    assert re.search(message, found), found


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("at", [0, 5000, 9999])
def test_weights_that_are_not_finite(bad: float, dtype: type[np.floating[Any]], at: int) -> None:
    draft = network()
    draft.tensors["v"] = np.ones(10000, dtype)
    _runtime.check_plan(draft.bytes())
    draft.tensors["v"][at] = bad
    assert 'tensors: "v": expected finite weights, got NaN or Inf' in refusal(draft, {})


def test_files_that_are_no_plans() -> None:
    headers: list[dict[str, Any]] = [{}, {"__metadata__": {}}, {"__metadata__": {"fewstep.plan": "{}", "format": "pt"}}]
    for header in headers:
        with pytest.raises(PlanError, match="expected a plan, whose __metadata__ has the key"):
            _runtime.check_plan(container(header))
    with pytest.raises(PlanError, match="program: byte 0: expected a value"):
        _runtime.check_plan(container({"__metadata__": {"fewstep.plan": "plan"}}))


def test_sharing_that_is_stated_is_allowed() -> None:
    """In place, in slices of one buffer that interleave, and one after another in the same bytes."""
    in_place = edited(
        network().document(), {"values/2/buffer": 0, "values/3/buffer": 0, "buffers": [[0, 24]], "arena": 64}
    )
    _runtime.check_plan(plan_bytes(in_place, network().tensors))

    draft = Draft()
    x = draft.given("f32", 2, 2)
    pair = {"shape": (2, 2), "strides": (4, 1), "buffer": 1}
    draft.buffers.append([64, 32])
    left, right = draft.value("f32", **pair), draft.value("f32", **pair, offset=2)
    draft.op("map", [x], [left], code=[])
    draft.op("map", [left], [right], code=[["neg", 0]])
    draft.outputs = {"y": right}
    draft.buffers[1][0] = 64
    _runtime.check_plan(draft.bytes())
    draft.values[right]["offset"] = 1
    assert "output 0 shares bytes with input 0" in refusal(draft, {})

    chain = Draft()
    values = [chain.given("f32", 16)] + [chain.value("f32", 16) for _ in range(5)]
    for before, after in pairwise(values):
        chain.op("map", [before], [after], code=[["neg", 0]])
    chain.outputs = {"y": values[-1]}
    reused = {"buffers": [[0, 64], [64, 64], [128, 64], [64, 64], [128, 64], [192, 64]]}
    _runtime.check_plan(plan_bytes(edited(chain.document(), reused), {}))
    assert "share bytes" in refusal(chain, {"buffers": [[0, 64], [64, 64], [128, 64], [128, 64], [64, 64], [192, 64]]})

"""Run by test_cuda_images in a process of its own, where kernels are compiled and not interpreted: prints a plan."""

import json
import sys
from functools import partial
from typing import Any

import numpy as np

from fewstep.export.lower.assemble import Header, assemble
from fewstep.export.lower.cuda.launches import add_launches
from fewstep.export.lower.draft import Draft, DraftStage, complete
from fewstep.export.lower.memory import plan_memory
from fewstep.export.lower.plan_file import read_plan, write_plan
from fewstep.export.lower.views import Storage, View, new_view
from fewstep.export.lower.weights import Weight

LAST = (0, 2, 3, 1)
SHAPES = {"rows": (16, 24), "kernel": (32, 32)}


def draft(op: str, inputs: list[View], outputs: list[View], **attributes: Any) -> Draft:
    return Draft(op, op, tuple(inputs), tuple(outputs), complete(op, op, attributes))


def main(path: str) -> None:
    held = {name: Weight("f16", shape, partial(np.zeros, shape)) for name, shape in SHAPES.items()}
    kernel = View(Storage("f16", 1024, "kernel"), (32, 32, 1, 1), (32, 1, 1, 1))
    rows = View(Storage("f16", 384, "rows"), (16, 24), (24, 1))
    image, few, many = new_view("f16", (1, 32, 8, 8), LAST), new_view("f16", (50, 16)), new_view("f16", (70, 16))
    state, row = new_view("f32", (1, 3, 4, 4)), View(Storage("f32", 27), (9,), (1,), row=9)
    m, seeds, flag = new_view("f16", (1, 3, 4, 4)), new_view("i64", (1,)), new_view("i32", (1,))
    ops = (
        draft("conv2d", [image, kernel], [new_view("f16", (1, 32, 8, 8), LAST)]),
        draft("matmul", [few, rows], [new_view("f16", (50, 24))]),
        draft("matmul", [many, rows], [new_view("f16", (70, 24))]),
        Draft("sampler_step", "sampler_step", (state, m, row, seeds), (state, m, flag), {}),
    )
    inputs = {"image": image, "few": few, "many": many, "state": state, "row": row, "m": m, "seeds": seeds}
    header = Header({"device": "cuda", "architectures": [80, 90], "ptx": 80}, "float16", {}, 1)
    program = assemble(header, [DraftStage("network", ops)], inputs, {"flag": flag})
    seen: list[str] = []
    launched = add_launches(program, held, 2, seen.append)
    write_plan(path, plan_memory(launched.program), launched.weights)
    plan, weights = read_plan(path)
    launches = [launch for op in plan.stages[0].ops for launch in op.launches]
    sizes = {name: weight.shape for name, weight in weights.items()}
    texts = {
        name: weight.array().tobytes().decode("ascii") for name, weight in weights.items() if name.startswith("ptx")
    }
    values = [vars(value) for value in plan.values]
    print(json.dumps({"launches": launches, "weights": sizes, "values": values, "progress": seen, "ptx": texts}))


if __name__ == "__main__":
    main(sys.argv[1])

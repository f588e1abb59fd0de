"""The multiplications and additions of a plan's runs."""

import json
from math import prod
from pathlib import Path
from typing import Any

from fewstep import _runtime

TILE = 2  # of Winograd's F(2x2, 3x3): 16 products make 4 pixels


def flop_of(path: Path, steps: int) -> dict[str, float]:
    """Of one run of so many steps: as the operations say, and as the runtime executes its convolutions."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    program = json.loads(header["__metadata__"]["fewstep.plan"])
    shapes = [value["shape"] for value in program["values"]]
    choices = iter(json.loads(_runtime.Program(path).describe())["ops"])
    stated = executed = 0.0
    for stage in program["stages"]:
        if stage["name"] == "tables" or (stage["name"] == "modulation" and stage["steps"] != steps):
            times = 0
        else:
            times = steps if stage["name"] == "step" else 1
        for op in stage["ops"]:
            choice = next(choices)["choice"]
            flop = times * _flop(op, shapes)
            stated += flop
            executed += flop * _winograd_share(shapes[op["outputs"][0]]) if choice.startswith("winograd") else flop
    return {"direct": stated, "executed": executed}


def _flop(op: dict[str, Any], shapes: list[list[int]]) -> int:
    """2 for each multiplication of a convolution, a product or an attention."""
    made = prod(shapes[op["outputs"][0]])
    if op["op"] == "conv2d":
        return 2 * made * prod(shapes[op["inputs"][1]][1:])
    if op["op"] == "matmul":
        depth: int = shapes[op["inputs"][1]][-2]
        return 2 * made * depth * (2 if op["attributes"]["glu"] else 1)
    if op["op"] == "attention":
        keys: int = shapes[op["inputs"][1]][2]
        return 4 * made * keys
    return 0


def _winograd_share(made: list[int]) -> float:
    """Of the multiplications of a 3 x 3 convolution: 16 a tile."""
    rows, columns = (-(-side // TILE) for side in made[2:])
    return 16 * rows * columns / (9 * made[2] * made[3])

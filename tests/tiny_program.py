"""The smallest programs: what tests write, break and run."""

import numpy as np

from fewstep.export.lower.program import Op, Program, Stage, Value
from fewstep.export.lower.weights import Weight


def tiny_program() -> tuple[Program, dict[str, Weight]]:
    """A network of one map: y = silu(x w + 0.5), x and y f32 (2, 3), w f32 (3)."""
    w = np.array([0.5, -1.0, 2.0], np.float32)
    code = [["mul", 0, 1], ["const", 0.5], ["add", 2, 3], ["silu", 4]]
    program = Program(
        target={"device": "cpu"},
        precision="float32",
        model={"name": "tiny", "family": "test", "bundle": ""},
        batch=2,
        arena=128,
        buffers=[(0, 24), (64, 24)],
        values=[
            Value("f32", (2, 3), (3, 1), buffer=0),
            Value("f32", (2, 3), (0, 1), weight="w"),
            Value("f32", (2, 3), (3, 1), buffer=1),
        ],
        inputs={"x": 0},
        outputs={"y": 2},
        stages=[Stage("network", (Op("map", "silu", (0, 1), (2,), {"code": code}),))],
        passes=[{"name": "none"}],
    )
    return program, {"w": Weight("f32", (3,), lambda: w)}

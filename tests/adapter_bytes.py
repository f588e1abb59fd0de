"""Plans that leave updates open, written without the compiler."""

from typing import Any

import numpy as np
from plan_bytes import Draft

RANK, WIDE, NARROW = 2, 4, 3
MODULE = "unet.a.to_q"


def open_updates(dtype: Any = np.float32) -> Draft:
    """y = x w + up (down x) of (2, 4), where the update begins as zeros; a second module has none."""
    out = Draft()
    x = out.given("f32", 2, WIDE)
    kinds = {"w": (NARROW, WIDE), "lora.down": (RANK, WIDE), "lora.up": (NARROW, RANK)}
    arrays = {name: np.zeros(shape, dtype) for name, shape in kinds.items()}
    arrays["w"] = np.arange(NARROW * WIDE, dtype=dtype).reshape(kinds["w"])
    w, down, up = (
        out.weight(name, array, shape=array.shape[::-1], strides=(1, array.shape[1])) for name, array in arrays.items()
    )
    base, narrow, y = (out.value("f32", 2, size) for size in (NARROW, RANK, NARROW))
    plain = {"activation": "", "scale": 1.0, "glu": ""}
    out.op("matmul", [x, w], [base], **plain)
    out.op("matmul", [x, down], [narrow], **plain)
    out.op("matmul", [narrow, up, None, None, base], [y], **plain)
    out.outputs = {"y": y}
    out.adapters = {
        "rank": RANK,
        "modules": {MODULE: [NARROW, WIDE], "unet.b": [5, 3, 3, 3]},
        "targets": {MODULE: {"down": "lora.down", "up": "lora.up"}},
    }
    return out

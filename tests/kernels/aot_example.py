"""Run by test_aot in a process of its own, where kernels are compiled and not interpreted: prints what it finds."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from fewstep.errors import InputError
from fewstep.kernels.aot import compile_launch, specialise
from fewstep.kernels.aot_cubin import from_dict, to_dict
from fewstep.kernels.aot_image import Job, compile_all
from fewstep.kernels.launch import Launch


@triton.jit
def scale_kernel(
    x_ptr, bias_ptr, x_desc, y_ptr, N, stride, far, factor, flag,
    BLOCK: tl.constexpr,
):  # fmt: skip
    n = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + n * stride, mask=n < N, other=0.0).to(tl.float32) * factor
    if bias_ptr is not None:
        x += tl.load(bias_ptr + n, mask=n < N, other=0.0)
    tl.store(y_ptr + n + far * flag, x + tl.sum(x_desc.load([0, 0]).to(tl.float32)), mask=n < N)


def launch(**changed: Any) -> Launch:
    x = torch.empty(256, 256, dtype=torch.bfloat16, device="meta")
    args = {
        "x_ptr": x[:, 1:], "x_desc": TensorDescriptor.from_tensor(x, [64, 128]), "y_ptr": x.float(),
        "N": 100, "stride": 1, "far": 2**40, "factor": 2.0, "flag": True,
    }  # fmt: skip
    return Launch(scale_kernel, (3, 2, 1), args, {"bias_ptr": None, "BLOCK": 128, "num_warps": 2} | changed)


def refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except InputError as error:
        return str(error)
    return "no refusal"


def job(**changed: Any) -> Job:
    return dataclasses.replace(specialise(launch(**changed), 90).job, needed_by="node a")


def main() -> None:
    first, cubin = (compile_launch(launch(), 90) for _ in range(2))
    triton.knobs.compilation.always_compile = True
    again = compile_launch(launch(), 90)
    assert from_dict(json.loads(json.dumps(to_dict(cubin))), cubin.image) == cubin
    plain = dataclasses.replace(launch(), args={**launch().args, "x_desc": torch.empty(8, device="meta")})
    block = TensorDescriptor.from_tensor(torch.empty(256, 256, device="meta"), [256, 128])
    wide = dataclasses.replace(launch(num_warps=8), args={**launch().args, "x_desc": block})
    found = {
        "cubin": to_dict(cubin),
        "hashes": [hashlib.sha256(c.image).hexdigest() for c in (first, cubin, again)],
        "paths": [
            path for path in ("aot_example.py", "/home", "/root", "/tmp", "/work") if path.encode() in cubin.image
        ],
        "cluster": compile_launch(launch(num_ctas=2), 90).num_ctas,
        "squeezed": compile_launch(launch(maxnreg=16, BLOCK=8192, num_warps=1), 90).spills,
        "refusals": {
            "arch": refusal(lambda: compile_launch(launch(), 91)),
            "block": refusal(lambda: compile_launch(launch(BLOCK=100), 90)),
            "assembler": refusal(lambda: compile_launch(launch(ptx_options="--bogus"), 90)),
            "cluster": refusal(lambda: compile_launch(launch(num_ctas=2), 80)),
            "descriptor": refusal(lambda: compile_launch(launch(), 80)),
            "shared": refusal(lambda: compile_launch(wide, 120)),
            "type": refusal(lambda: compile_launch(plain, 90)),
            "option": refusal(lambda: compile_launch(launch(BLOK=1), 90)),
            "process": refusal(lambda: compile_all([*[job()] * 8, job(ptx_options="--bogus")], lambda count: None)),
        },
        "by processes": [
            hashlib.sha256(made.cubin).hexdigest() for made in compile_all([job()] * 8, lambda count: None)
        ],
        "line_info": triton.knobs.compilation.disable_line_info,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()

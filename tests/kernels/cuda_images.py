"""Compiles the kernels of the CUDA device's tests: python tests/kernels/cuda_images.py FOLDER."""

import sys
from pathlib import Path

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from fewstep.kernels.aot import compile_launch
from fewstep.kernels.aot_cubin import Cubin
from fewstep.kernels.launch import Launch


@triton.jit
def add_kernel(x_ptr, y_ptr, z_ptr, n, BLOCK: tl.constexpr):
    k = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + k, mask=k < n, other=0.0)
    tl.store(z_ptr + k, x + tl.load(y_ptr + k, mask=k < n, other=0.0), mask=k < n)


@triton.jit
def step_kernel(x_ptr, row_ptr, far, n, i, factor, flag, BLOCK: tl.constexpr):
    k = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + k, mask=k < n, other=0.0) * tl.load(row_ptr) + i * factor
    tl.store(x_ptr + k + far * flag, x, mask=k < n)


@triton.jit
def sum_kernel(x_desc, y_ptr):
    tl.store(y_ptr, tl.sum(x_desc.load([0, 0]).to(tl.float32)))


def launches() -> dict[str, tuple[Launch, int]]:
    # No whole number is a multiple of 16 and no address is one: the images promise nothing of their parameters.
    x = torch.empty(100, device="meta")[1:]
    block = torch.empty(256, 128, dtype=torch.float16, device="meta")
    add = Launch(add_kernel, (1, 1, 1), {"x_ptr": x, "y_ptr": x, "z_ptr": x, "n": 99}, {"BLOCK": 128, "num_warps": 1})
    args = {"x_ptr": x, "row_ptr": x, "far": 2**40 + 1, "n": 99, "i": 3, "factor": 0.5, "flag": True}
    step = Launch(step_kernel, (1, 1, 1), args, {"BLOCK": 128, "num_warps": 2})
    sums = {"x_desc": TensorDescriptor.from_tensor(block, [256, 128]), "y_ptr": x}
    return {
        f"{name}.{arch}": (launch, arch) for name, launch in (("add", add), ("step", step)) for arch in (80, 90)
    } | {
        "sum.90": (Launch(sum_kernel, (1, 1, 1), sums, {"num_warps": 4}), 90),
        "cluster.90": (Launch(sum_kernel, (1, 1, 1), sums, {"num_warps": 4, "num_ctas": 2}), 90),
    }


def cubins() -> dict[str, Cubin]:
    return {name: compile_launch(launch, arch) for name, (launch, arch) in launches().items()}


if __name__ == "__main__":
    for name, cubin in cubins().items():
        (Path(sys.argv[1]) / f"{name}.cubin").write_bytes(cubin.image)
        if cubin.ptx:
            (Path(sys.argv[1]) / f"{name}.ptx").write_bytes(cubin.ptx[:-1])
        sizes = [(param.kind, param.size) for param in cubin.params]
        print(name, cubin.entry, f"threads={cubin.threads} shared={cubin.shared} cluster={cubin.num_ctas}", sizes)

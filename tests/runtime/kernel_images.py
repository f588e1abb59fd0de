"""Prints a kernel's name, image and PTX for three architectures as JSON, compiled where Triton does not interpret."""

import base64
import json

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def _scale_kernel(x_ptr, n, scale):  # type: ignore[no-untyped-def]
    offsets = tl.arange(0, 128)
    tl.store(x_ptr + offsets, tl.load(x_ptr + offsets, mask=offsets < n) * scale, mask=offsets < n)


def main() -> None:
    images = {}
    for architecture in (80, 90, 120):
        signature = {"x_ptr": "*fp32", "n": "i32", "scale": "fp32"}
        source = ASTSource(fn=_scale_kernel, signature=signature, constexprs={}, attrs={})
        target = GPUTarget("cuda", architecture, 32)
        version = {"ptx_version": 80} if architecture == 80 else {}
        compiled = triton.compile(source, target=target, options={"enable_fp_fusion": True} | version)
        both = (compiled.asm["cubin"], compiled.asm["ptx"].encode() + b"\0")
        images[architecture] = [compiled.metadata.name, *(base64.b64encode(image).decode() for image in both)]
    print(json.dumps(images))


if __name__ == "__main__":
    main()

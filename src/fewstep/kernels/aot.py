"""Ahead-of-time compilation: a launch described on any machine becomes a cubin for an architecture, without a GPU.

The kernel is specialised as Triton itself would for the same call: an int of 1 and None become constants, whole
numbers and pointers that are multiples of 16 are promised to be. A tensor on meta counts as one that starts at address
0, a view of it at its offset: whoever runs the image binds pointers that are multiples of what Param.multiple says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, make_backend
from triton.runtime.jit import JITFunction, create_function_from_signature

from fewstep.errors import InputError
from fewstep.kernels.aot_cubin import Cubin, Param, TensorMap
from fewstep.kernels.aot_image import PTX_ARCH, PTX_VERSION, WARP, Image, Job, compile_source, explained
from fewstep.kernels.launch import Launch

SHARED_KIB = {80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 120: 99}  # what one block may use
SIZES = {"u1": 1, "i1": 1, "i8": 1, "u8": 1, "i16": 2, "u16": 2, "fp16": 2, "bf16": 2} | {
    "i32": 4, "u32": 4, "fp32": 4, "i64": 8, "u64": 8, "fp64": 8, "ptr": 8,
}  # fmt: skip
HOST_ELEM_TYPE = {8: 10, 9: 8, 10: 9}  # Triton numbers three element types otherwise than the driver's encoder

PTX_SHARED_KIB = min(SHARED_KIB.values())  # what every later architecture has


@dataclass(frozen=True)
class Specialised:
    """A launch as its compiler sees it: equal keys compile to equal images."""

    source: ASTSource
    options: Mapping[str, Any]
    arch: int
    key: str

    @property
    def job(self) -> Job:
        kernel, source = self.source.fn, self.source
        return Job(
            kernel.__module__,
            kernel.__name__,
            source.signature,
            source.constants,
            source.attrs,
            self.options,
            self.arch,
        )


def specialise(launch: Launch, arch: int) -> Specialised:
    """Raises InputError, as compile_launch does."""
    kernel = launch.kernel
    if not isinstance(kernel, JITFunction):
        raise InputError("expected kernels for a GPU, got Triton's interpreter: unset TRITON_INTERPRET and start anew")
    if arch not in SHARED_KIB:
        raise InputError(f"arch: expected {', '.join(map(str, SHARED_KIB))}, got {arch!r}")
    backend = make_backend(GPUTarget("cuda", arch, WARP))
    bind = create_function_from_signature(kernel.signature, kernel.params, backend)
    version = {"ptx_version": PTX_VERSION} if arch == PTX_ARCH else {}
    bound, specialisation, given = bind(**launch.args, **launch.config, enable_fp_fusion=True, **version)
    with explained(kernel.__name__, arch):
        options, signature, constants, attrs = kernel._pack_args(backend, given, bound, specialisation, given)
    source = ASTSource(kernel, signature, constants, attrs)
    return Specialised(source, given, arch, f"{source.hash()} {options.hash()} {arch}")


def compile_launch(launch: Launch, arch: int) -> Cubin:
    """Raises InputError: an unknown architecture, a kernel that does not compile for it, too much shared memory."""
    what = specialise(launch, arch)
    return assembled(launch, what, compile_source(what.source, what.options, arch))


def assembled(launch: Launch, what: Specialised, image: Image) -> Cubin:
    """The launch by its image. Raises InputError: an architecture without tensor maps, too much shared memory."""
    name, arch, limit = launch.kernel.__name__, what.arch, SHARED_KIB[what.arch] * 1024
    if image.shared > limit:
        raise InputError(f"{name} on sm_{arch}: expected at most {limit} bytes of shared memory, got {image.shared}")
    params = tuple(_params(launch.args, what.source, image))
    sizes = tuple(param.size for param in params)
    assert sizes == image.sizes, f"{name} on sm_{arch}: parameters of {sizes} bytes described, {image.sizes} compiled"
    return Cubin(
        kernel=name,
        entry=image.entry,
        arch=f"sm_{arch}a" if arch >= 90 else f"sm_{arch}",
        image=image.cubin,
        grid=launch.grid,
        threads=WARP * image.num_warps,
        shared=image.shared,
        num_ctas=image.num_ctas,
        params=params,
        scratch_size=image.scratch_size,
        scratch_align=image.scratch_align,
        registers=image.registers,
        spills=image.spills,
        ptx=image.ptx,
    )


def _params(args: Mapping[str, Any], source: ASTSource, image: Image) -> Iterator[Param]:
    tensormaps = iter(image.tensormaps)
    for index, (name, kind) in enumerate(source.signature.items()):
        aligned = any(attr[0] == "tt.divisibility" for attr in source.attrs.get((index,), ()))
        if kind.startswith("*"):
            itemsize = args[name].element_size() if isinstance(args[name], Tensor) else 1
            yield _param(name, "ptr", multiple=16 if aligned else itemsize)
        elif kind.startswith("tensordesc"):
            yield from _descriptor(name, args[name], next(tensormaps, None))
        elif kind != "constexpr":
            yield _param(name, kind, value=args[name], multiple=16 if aligned else 1)
    yield _param("global_scratch", "ptr", multiple=image.scratch_align)
    yield _param("profile_scratch", "ptr")


def _descriptor(name: str, descriptor: Any, meta: Mapping[str, Any] | None) -> Iterator[Param]:
    if meta is None:
        raise InputError(f"{name}: expected an architecture with tensor maps, 90 or above")
    yield Param(
        name,
        "tensormap",
        size=128,
        align=64,
        multiple=16,
        tensormap=TensorMap(
            elem_type=HOST_ELEM_TYPE.get(meta["elem_type"], meta["elem_type"]),
            elem_size=meta["elem_size"],
            shape=tuple(descriptor.shape),
            strides=tuple(descriptor.strides),
            box=tuple(meta["block_size"]),
            swizzle=meta["swizzle"],
            nan_padding=descriptor.padding == "nan",
        ),
    )
    for size in descriptor.shape:
        yield _param(name, "i32", value=size)
    for stride in descriptor.strides:
        yield _param(name, "i64", value=stride)


def _param(name: str, kind: str, **more: Any) -> Param:
    return Param(name, kind, SIZES[kind], SIZES[kind], **more)

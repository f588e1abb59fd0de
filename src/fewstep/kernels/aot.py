"""Ahead-of-time compilation: a launch described on any machine becomes a cubin for an architecture, without a GPU.

The kernel is specialised as Triton itself would for the same call: an int of 1 and None become constants, whole
numbers and pointers that are multiples of 16 are promised to be. A tensor on meta counts as one that starts at address
0, a view of it at its offset: whoever runs the image binds pointers that are multiples of what Param.multiple says.
"""

import contextlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, make_backend
from triton.errors import TritonError
from triton.runtime.jit import JITFunction, create_function_from_signature

from fewstep.errors import InputError
from fewstep.kernels.aot_cubin import Cubin, Param, TensorMap
from fewstep.kernels.launch import Launch
from fewstep.kernels.resources import resources

WARP = 32
SHARED_KIB = {80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 120: 99}  # what one block may use
SIZES = {"u1": 1, "i1": 1, "i8": 1, "u8": 1, "i16": 2, "u16": 2, "fp16": 2, "bf16": 2} | {
    "i32": 4, "u32": 4, "fp32": 4, "i64": 8, "u64": 8, "fp64": 8, "ptr": 8,
}  # fmt: skip
HOST_ELEM_TYPE = {8: 10, 9: 8, 10: 9}  # Triton numbers three element types otherwise than the driver's encoder

ASSEMBLER = re.compile(r"ptxas.*(error|fatal)")


@dataclass(frozen=True)
class Specialised:
    """A launch as its compiler sees it: equal keys compile to equal images."""

    source: ASTSource
    options: dict[str, Any]
    key: str


def specialise(launch: Launch, arch: int) -> Specialised:
    """Raises InputError, as compile_launch does."""
    kernel = launch.kernel
    if not isinstance(kernel, JITFunction):
        raise InputError("expected kernels for a GPU, got Triton's interpreter: unset TRITON_INTERPRET and start anew")
    if arch not in SHARED_KIB:
        raise InputError(f"arch: expected {', '.join(map(str, SHARED_KIB))}, got {arch!r}")
    backend = make_backend(GPUTarget("cuda", arch, WARP))
    bind = create_function_from_signature(kernel.signature, kernel.params, backend)
    bound, specialisation, given = bind(**launch.args, **launch.config, enable_fp_fusion=True)
    with _explained(launch, arch):
        options, signature, constants, attrs = kernel._pack_args(backend, given, bound, specialisation, given)
    source = ASTSource(kernel, signature, constants, attrs)
    return Specialised(source, given, f"{source.hash()} {options.hash()} {arch}")


def compile_launch(launch: Launch, arch: int) -> Cubin:
    """Raises InputError: an unknown architecture, a kernel that does not compile for it, too much shared memory."""
    what = specialise(launch, arch)
    with _explained(launch, arch), _without_source_paths(), contextlib.redirect_stdout(io.StringIO()):
        compiled = triton.compile(what.source, target=GPUTarget("cuda", arch, WARP), options=what.options)
    metadata, image = compiled.metadata, compiled.asm["cubin"]
    name, limit = launch.kernel.__name__, SHARED_KIB[arch] * 1024
    if metadata.shared > limit:
        raise InputError(f"{name} on sm_{arch}: expected at most {limit} bytes of shared memory, got {metadata.shared}")
    assert metadata.profile_scratch_size == 0 and not metadata.launch_cooperative_grid and not metadata.launch_pdl
    params, used = tuple(_params(launch.args, what.source, metadata)), resources(image)
    sizes = tuple(param.size for param in params)
    assert sizes == used.params, f"{name} on sm_{arch}: parameters of {sizes} bytes described, {used.params} compiled"
    return Cubin(
        kernel=name,
        entry=metadata.name,
        arch=f"sm_{arch}a" if arch >= 90 else f"sm_{arch}",
        image=image,
        grid=launch.grid,
        threads=WARP * metadata.num_warps,
        shared=metadata.shared,
        num_ctas=metadata.num_ctas,
        params=params,
        scratch_size=metadata.global_scratch_size,
        scratch_align=metadata.global_scratch_align,
        registers=used.registers,
        spills=used.local,
    )


def rebound(cubin: Cubin, launch: Launch) -> Cubin:
    """The same image for another launch of an equal Specialised.key: its grid, its numbers, its tensors' shapes."""
    params, left = list[Param](), iter(cubin.params)
    for param in left:
        arg = launch.args.get(param.name)
        if param.tensormap is not None:
            shape, strides = tuple(arg.shape), tuple(arg.strides)  # type: ignore[union-attr]
            params.append(replace(param, tensormap=replace(param.tensormap, shape=shape, strides=strides)))
            params += [replace(next(left), value=number) for number in (*shape, *strides)]
        else:
            params.append(param if param.kind == "ptr" else replace(param, value=arg))
    return replace(cubin, grid=launch.grid, params=tuple(params))


def _params(args: Mapping[str, Any], source: ASTSource, metadata: Any) -> Iterator[Param]:
    tensormaps = iter(getattr(metadata, "tensordesc_meta", None) or ())
    for index, (name, kind) in enumerate(source.signature.items()):
        aligned = any(attr[0] == "tt.divisibility" for attr in source.attrs.get((index,), ()))
        if kind.startswith("*"):
            itemsize = args[name].element_size() if isinstance(args[name], Tensor) else 1
            yield _param(name, "ptr", multiple=16 if aligned else itemsize)
        elif kind.startswith("tensordesc"):
            yield from _descriptor(name, args[name], next(tensormaps, None))
        elif kind != "constexpr":
            yield _param(name, kind, value=args[name], multiple=16 if aligned else 1)
    yield _param("global_scratch", "ptr", multiple=metadata.global_scratch_align)
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


@contextlib.contextmanager
def _explained(launch: Launch, arch: int) -> Iterator[None]:
    try:
        yield
    except (TritonError, RuntimeError, ValueError, KeyError) as error:
        lines = str(error).strip().splitlines() or ["no message"]
        said = next((line for line in lines if ASSEMBLER.match(line)), lines[-1]).strip()
        raise InputError(f"{launch.kernel.__name__} does not compile for sm_{arch}: {said}") from error


@contextlib.contextmanager
def _without_source_paths() -> Iterator[None]:
    """No line table: images hold no path and are the same wherever they are built. Triton's cache tells them apart."""
    with triton.knobs.compilation.scope():
        triton.knobs.compilation.disable_line_info = True
        yield

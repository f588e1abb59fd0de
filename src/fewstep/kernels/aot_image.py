"""Triton's compiler, called for one specialised kernel: by this process, or by several at once."""

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.errors import TritonError

from fewstep.errors import BackendError, InputError
from fewstep.kernels.resources import resources

WARP = 32
PTX_ARCH, PTX_VERSION = 80, 80  # PTX 8.0, which the driver of CUDA 12.0 compiles, and every later one
WORTH = 4  # images for which a process that imports Triton is worth its start
ASSEMBLER = re.compile(r"ptxas.*(error|fatal)")


@dataclass(frozen=True)
class Job:
    """A specialised kernel by its name, so that another process can compile it."""

    module: str
    kernel: str
    signature: Mapping[str, str]
    constants: Mapping[tuple[int, ...], Any]
    attrs: Mapping[tuple[int, ...], Any]
    options: Mapping[str, Any]
    arch: int
    needed_by: str = ""  # with which errors begin


@dataclass(frozen=True)
class Image:
    """What the compiler made. sizes: of each parameter, in bytes. ptx: of PTX_ARCH alone, else empty."""

    entry: str
    cubin: bytes
    ptx: bytes
    shared: int
    num_warps: int
    num_ctas: int
    scratch_size: int
    scratch_align: int
    tensormaps: Sequence[Mapping[str, Any]]
    sizes: tuple[int, ...]
    registers: int
    spills: int


def compile_source(source: ASTSource, options: Mapping[str, Any], arch: int) -> Image:
    """Raises InputError for a kernel that does not compile for the architecture."""
    with explained(source.fn.__name__, arch), _without_source_paths(), contextlib.redirect_stdout(io.StringIO()):
        compiled = triton.compile(source, target=GPUTarget("cuda", arch, WARP), options=dict(options))
    metadata, cubin = compiled.metadata, compiled.asm["cubin"]
    assert metadata.profile_scratch_size == 0 and not metadata.launch_cooperative_grid and not metadata.launch_pdl
    used = resources(cubin)
    return Image(
        entry=metadata.name,
        cubin=cubin,
        ptx=compiled.asm["ptx"].encode("ascii") + b"\0" if arch == PTX_ARCH else b"",
        shared=metadata.shared,
        num_warps=metadata.num_warps,
        num_ctas=metadata.num_ctas,
        scratch_size=metadata.global_scratch_size,
        scratch_align=metadata.global_scratch_align,
        tensormaps=[dict(meta) for meta in getattr(metadata, "tensordesc_meta", None) or ()],
        sizes=used.params,
        registers=used.registers,
        spills=used.local,
    )


def compile_job(job: Job) -> Image:
    kernel = getattr(import_module(job.module), job.kernel)
    source = ASTSource(kernel, dict(job.signature), dict(job.constants), dict(job.attrs))
    try:
        return compile_source(source, job.options, job.arch)
    except InputError as error:
        raise InputError(f"{job.needed_by}: {error}") from error


def compile_all(jobs: Sequence[Job], done: Callable[[int], None], processes: int | None = None) -> list[Image]:
    """The image of each. done: told how many there are so far. processes: unless given, one a core where jobs are many.

    Processes are spawned, so a script calls this from under `if __name__ == "__main__"`. Raises InputError as
    compile_source, BackendError if a process ended.
    """
    if processes is None:
        processes = min(len(os.sched_getaffinity(0)), len(jobs) // WORTH)
    if processes < 2:
        images = []
        for job in jobs:
            images.append(compile_job(job))
            done(len(images))
        return images
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        futures = [pool.submit(compile_job, job) for job in jobs]
        try:
            for count, future in enumerate(as_completed(futures), 1):
                future.result()
                done(count)
        except BrokenProcessPool as error:
            raise BackendError(
                f"one of {processes} processes that compile kernels ended: expected memory for each, and scripts that "
                'compile to do so under `if __name__ == "__main__":`'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
        return [future.result() for future in futures]


@contextlib.contextmanager
def explained(kernel: str, arch: int) -> Iterator[None]:
    """The compiler's errors as InputError."""
    try:
        yield
    except (TritonError, RuntimeError, ValueError, KeyError) as error:
        lines = str(error).strip().splitlines() or ["no message"]
        said = next((line for line in lines if ASSEMBLER.match(line)), lines[-1]).strip()
        raise InputError(f"{kernel} does not compile for sm_{arch}: {said}") from error


@contextlib.contextmanager
def _without_source_paths() -> Iterator[None]:
    """No line table: images hold no path and are the same wherever they are built. Triton's cache tells them apart."""
    with triton.knobs.compilation.scope():
        triton.knobs.compilation.disable_line_info = True
        yield

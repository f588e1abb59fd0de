"""Images by several processes at a time, into Triton's cache, where whoever compiles the same launch finds them."""

from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context

from fewstep.errors import InputError
from fewstep.kernels.aot import compile_launch, specialise
from fewstep.kernels.launch import Launch


def compile_ahead(launches: Sequence[tuple[Launch, int]], processes: int) -> None:
    """launches: with the architecture of each. What does not compile is left to whoever asks for it, and is told why.

    The processes are forks, since a kernel cannot be sent to another: call it before a CUDA context is made.
    """
    distinct = list({specialise(launch, arch).key: (launch, arch) for launch, arch in launches}.values())
    context = get_context("fork")
    workers = [context.Process(target=_compile, args=(distinct[k::processes],)) for k in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _compile(launches: Sequence[tuple[Launch, int]]) -> None:
    for launch, arch in launches:
        with suppress(InputError):
            compile_launch(launch, arch)

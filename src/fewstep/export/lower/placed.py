"""The last of compiling: launches where a GPU needs them, then memory for all that is named."""

from collections.abc import Callable, Mapping

from fewstep.export.lower.memory import plan_memory
from fewstep.export.lower.program import Program
from fewstep.export.lower.weights import Weight

Weights = Mapping[str, Weight]


def placed(
    program: Program,
    weights: Weights,
    processes: int | None = None,
    progress: Callable[[str], None] = lambda what: None,
    matmul: str = "triton",
) -> tuple[Program, Weights]:
    """Launches for a GPU, and memory for all that the program names. processes: how many compile kernels at a time.
    matmul: who makes plain products on a GPU."""
    if program.target["device"] == "cuda":
        from fewstep.export.lower.cuda.launches import add_launches

        launched = add_launches(program, weights, processes, progress, matmul)
        program, weights = launched.program, launched.weights
    return plan_memory(program), weights

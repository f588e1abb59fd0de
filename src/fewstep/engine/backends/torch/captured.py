"""A program as one CUDA graph: a request is one launch."""

import torch

from fewstep.engine.backends.torch.program import Program
from fewstep.errors import BackendError

WARM_UPS = 3  # kernels are compiled, libraries make their plans and workspaces, before anything is recorded


class Captured:
    """Records a program's run once and replays it.

    1. The graph's memory is a pool of its own, alive as long as this object.
    2. A replay reads the program's buffers, so load another request and replay: the bits are those of program.run().
    3. Not for two threads at once: they would share the buffers.
    """

    def __init__(self, program: Program) -> None:
        """Raises BackendError without a CUDA device, or where the run cannot be captured."""
        device = program.generation.device
        if device.type != "cuda" or not torch.cuda.is_available():
            raise BackendError(f"a captured program needs a CUDA device, got {device}; use the program uncaptured")
        self.program = program
        self._graph = torch.cuda.CUDAGraph()
        try:
            self._record(device)
        except RuntimeError as error:
            raise BackendError(f"{program.generation.name} could not be captured as a CUDA graph: {error}") from error

    def _record(self, device: torch.device) -> None:
        with torch.cuda.device(device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    self.program.run()
            torch.cuda.current_stream().wait_stream(side)
            torch.cuda.synchronize()
            with torch.cuda.graph(self._graph, stream=side, pool=torch.cuda.graph_pool_handle()):
                self.program.run()

    def run(self) -> None:
        """Make the images of the program's buffers, on the current stream."""
        self._graph.replay()

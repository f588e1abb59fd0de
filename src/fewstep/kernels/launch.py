"""One kernel launch as data: what a launcher runs, and what is compiled ahead of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

OPTIONS = ("num_warps", "num_stages", "num_ctas")
REFERENCE_ARCH = 80  # whose settings describe a launch on a device that has no architecture (CPU, meta)


@dataclass(frozen=True)
class Launch:
    """A kernel with everything it is called with.

    args: the run-time parameters by name, in the kernel's order: tensors, tensor descriptors, ints, floats.
    config: the constexpr parameters by name, and num_warps, num_stages and num_ctas.
    """

    kernel: Any  # triton's JITFunction, or its interpreter's function
    grid: tuple[int, int, int]
    args: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def constants(self) -> dict[str, Any]:
        return {name: value for name, value in self.config.items() if name not in OPTIONS}

    @property
    def options(self) -> dict[str, int]:
        return {name: value for name, value in self.config.items() if name in OPTIONS}

    def run(self) -> None:
        """Launch on the device of the first tensor."""
        device = next(arg.device for arg in self.args.values() if isinstance(arg, Tensor))
        if device.type == "cuda" and device.index != torch.cuda.current_device():
            with torch.cuda.device(device):
                self.kernel[self.grid](**self.args, **self.config)
        else:
            self.kernel[self.grid](**self.args, **self.config)


def run_all(launches: Sequence[Launch]) -> None:
    for launch in launches:
        launch.run()


def present(args: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, None]]:
    """What is not None, and what is: an argument that is None is a constant to the compiler, so it goes to config."""
    given = {name: value for name, value in args.items() if value is not None}
    return given, {name: None for name, value in args.items() if value is None}


def architecture(x: Tensor) -> int:
    """90 for sm_90; REFERENCE_ARCH on a device that is no GPU."""
    if x.device.type != "cuda":
        return REFERENCE_ARCH
    major, minor = torch.cuda.get_device_capability(x.device)
    return 10 * major + minor

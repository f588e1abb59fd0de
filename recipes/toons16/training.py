"""What every training stage shares: seeded batches, exponential averages, checkpoints that resume exactly."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fewstep.export.families.trigflow_unet import PRESETS, TrigFlowUNet

Net = TypeVar("Net", bound=nn.Module)


class Pictures:
    """A rendered split: images (n, 3, S, S) uint8 and labels (n, 3) int64."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as split:
            self.images = (
                torch.from_numpy(split["images"]).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
            )
            self.labels = torch.from_numpy(split["labels"])

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random pictures x in [-1, 1] and their labels."""
        i = torch.randint(len(self.images), (size,), generator=generator)
        return to_unit(self.images[i]), self.labels[i]


def to_unit(images: Tensor) -> Tensor:
    """uint8 -> float32 in [-1, 1], channels last."""
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random stream of one training step, so that a resumed run draws what an unbroken one would have drawn."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def build(preset: str) -> TrigFlowUNet:
    return channels_last(TrigFlowUNet(PRESETS[preset]))


def channels_last(net: Net) -> Net:
    """Convolutions on a CPU are fastest on this layout."""
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def frozen_copy(net: TrigFlowUNet) -> TrigFlowUNet:
    return copy.deepcopy(net).eval().requires_grad_(False)


@torch.no_grad()
def lerp_towards(average: nn.Module, net: nn.Module, weight: float) -> None:
    """average <- average + weight (net - average), over all parameters."""
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), weight)


def ema_weight(decay: float, step: int) -> float:
    return 1 - min(decay, (1 + step) / (10 + step))


Optimizers = Mapping[str, torch.optim.Optimizer]


def save_checkpoint(path: Path, step: int, optimizers: Optimizers, nets: Mapping[str, nn.Module]) -> None:
    state: dict[str, Any] = {name: optimizer.state_dict() for name, optimizer in optimizers.items()}
    state |= {name: net.state_dict() for name, net in nets.items()}
    partial = path.with_suffix(".partial")
    torch.save({"step": step, **state}, partial)
    partial.rename(path)


def resume(path: Path, optimizers: Optimizers, nets: Mapping[str, nn.Module]) -> int:
    """Loads path if it exists; returns the number of steps already done."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(state[name])
    for name, net in nets.items():
        net.load_state_dict(state[name])
    return int(state["step"])


def save_weights(net: nn.Module, path: Path) -> None:
    save_file({key: value.contiguous() for key, value in net.state_dict().items()}, path)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)

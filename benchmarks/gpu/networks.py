"""Networks that are plans of their own, with random weights: a UNet and a transformer of published sizes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.random_network import fill
from fewstep.export.families import sd_turbo
from fewstep.export.families.family import Network, SizeName

Drawn = tuple[tuple[int, ...], int | None]  # shape, and below which whole numbers are drawn, None for normal ones
DIT: dict[str, Any] = {"patch_size": 2, "in_channels": 4, "out_channels": 8, "norm_type": "ada_norm_zero"}


class OfText(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, u: Tensor, tau: Tensor, text: Tensor) -> Tensor:
        m: Tensor = self.network(u, tau, encoder_hidden_states=text, return_dict=False)[0]
        return m


class OfClasses(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, u: Tensor, tau: Tensor, classes: Tensor) -> Tensor:
        m: Tensor = self.network(u, tau, classes, return_dict=False)[0]
        return m


@dataclass(frozen=True)
class Size:
    """condition: what the network is told beside its state u, of this shape, and the time tau."""

    network: Network
    state: tuple[int, ...]
    condition: Drawn

    def inputs(self, device: str) -> tuple[Tensor, ...]:
        """u, tau and the condition, float32 and int64; drawn, unless the device is meta."""
        source = torch.Generator().manual_seed(0)
        shape, below = self.condition
        normal = torch.randn(self.state, generator=source)
        told = torch.randn(shape, generator=source) if below is None else torch.randint(below, shape, generator=source)
        return normal.to(device), torch.full((1,), 999.0).to(device), told.to(device)


@dataclass(frozen=True)
class PlanNetwork:
    """kind: m of u, tau and the condition; is_last: whether PyTorch is quicker with channels last."""

    name: str
    kind: type[nn.Module]
    tiny: Size
    full: Size
    is_last: bool

    def size(self, name: SizeName) -> Size:
        return {"tiny": self.tiny, "full": self.full}[name]

    def make(self, size: SizeName, device: str) -> nn.Module:
        """In float32, with the weights of benchmarks.random_network unless the device is meta."""
        with torch.device(device):
            module: nn.Module = self.kind(self.size(size).network.make())
        if device != "meta":
            fill(module)
        return module.eval().requires_grad_(False)


def _dit(**config: int) -> Network:
    return Network("diffusers", "DiTTransformer2DModel", {**DIT, **config})


NETWORKS: Mapping[str, PlanNetwork] = {
    network.name: network
    for network in (
        PlanNetwork(
            "sd-turbo",
            OfText,
            Size(sd_turbo.TINY.networks["unet"], (1, *sd_turbo.TINY.latent), ((1, 7, 32), None)),
            Size(sd_turbo.FULL.networks["unet"], (1, *sd_turbo.FULL.latent), ((1, 77, 1024), None)),
            is_last=True,
        ),
        PlanNetwork(
            "dit-xl",
            OfClasses,
            Size(
                _dit(num_attention_heads=2, attention_head_dim=8, num_layers=1, sample_size=8, num_embeds_ada_norm=10),
                (1, 4, 8, 8),
                ((1,), 10),
            ),
            Size(
                _dit(
                    num_attention_heads=16, attention_head_dim=72, num_layers=28, sample_size=32,
                    num_embeds_ada_norm=1000,
                ),
                (1, 4, 32, 32),
                ((1,), 1000),
            ),
            is_last=False,
        ),
    )
}  # fmt: skip

"""Tiny networks of random weights of every family, as diffusers has them and as ONNX."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from real_rotation import GRID, TEXT, real_rotation
from torch import Tensor, nn

from fewstep.export.graph import export_graph

B = 2
DECODE, ENCODE = ".decode", ".encode"
CONFIGS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "tiny_configs.json").read_text())
draw = torch.randn


class Called(nn.Module):
    def __init__(self, network: nn.Module, call: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network, self.call = network, call

    def forward(
        self,
        x0: Tensor,
        x1: Tensor | None = None,
        x2: Tensor | None = None,
        x3: Tensor | None = None,
        x4: Tensor | None = None,
        x5: Tensor | None = None,
    ) -> Tensor:
        """Of named inputs, as torch.export tells dynamic shapes by them."""
        given = (x for x in (x0, x1, x2, x3, x4, x5) if x is not None)
        return self.call(self.network, *given)


@dataclass(frozen=True)
class Tiny:
    """inputs: the network's, by name, for two images. any_batch: whether its ONNX is for any number of them."""

    network: Called
    inputs: dict[str, Tensor]
    any_batch: bool

    def run(self) -> NDArray[np.float32]:
        with torch.no_grad():
            found: NDArray[np.float32] = self.network(*self.inputs.values()).numpy()
        return found

    def export(self, opset: int) -> ir.Model:
        """Takes some seconds."""
        with real_rotation(self.network.network):
            return ir.from_proto(export_graph(self.network, self.inputs, "y", opset=opset, any_batch=self.any_batch))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {name: value.numpy() for name, value in self.inputs.items()}


def tiny(name: str) -> Tiny:
    """One of CALLS; nothing of its weights is zero, so that every branch counts."""
    import diffusers

    torch.manual_seed(0)
    config = CONFIGS[name.removesuffix(DECODE).removesuffix(ENCODE)]
    network = getattr(diffusers, config["class"])(**config["config"]).eval()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    call, *inputs = CALLS[name]
    drawn = {f"x{i}": value() if callable(value) else value for i, value in enumerate(inputs)}
    return Tiny(Called(network, call), drawn, not name.startswith("z_image"))


def first(m: Any, *x: Any, **options: Any) -> Tensor:
    out: Tensor = m(*x, return_dict=False, **options)[0]
    return out


def sdxl(m: Any, x: Tensor, t: Tensor, text: Tensor, pooled: Tensor, sizes: Tensor) -> Tensor:
    return first(m, x, t, text, added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes})


def pixart(m: Any, x: Tensor, t: Tensor, text: Tensor, mask: Tensor, *sizes: Tensor) -> Tensor:
    resolution, aspect = sizes or (None, None)
    added = {"resolution": resolution, "aspect_ratio": aspect}
    return first(m, x, text, t, added_cond_kwargs=added, encoder_attention_mask=mask)


def flux(m: Any, x: Tensor, t: Tensor, text: Tensor, pooled: Tensor) -> Tensor:
    places = torch.cartesian_prod(*map(torch.arange, GRID)).float()
    return first(m, x, text, pooled, t, img_ids=places, txt_ids=torch.zeros(TEXT, 3))


def z_image(m: Any, x: Tensor, t: Tensor, text: Tensor) -> Tensor:
    return torch.stack(list(first(m, list(x.unbind()), t, list(text.unbind()))))


def decode(m: Any, z: Tensor) -> Tensor:
    return first(m.decode, z)


def moments(m: Any, x: Tensor) -> Tensor:
    out: Tensor = m.encode(x, return_dict=False)[0].parameters
    return out


LATENT, IMAGE, TIME = (lambda: draw(B, 4, 8, 8)), (lambda: draw(B, 3, 16, 16)), torch.tensor([0.7, 0.2])
STATE, TOKENS, WORDS = (lambda: draw(B, 4, 16, 16)), (lambda: draw(B, 16, 16)), (lambda: draw(B, TEXT, 16))
STEP, LABEL, POOLED = torch.tensor([999.0, 250.0]), torch.tensor([1, 3]), (lambda: draw(B, 16))
EARLY = TIME / 64  # of a network that takes sines of 1000 t, which in float32 are the less exact the larger t is
MASK = torch.tensor([[1] * TEXT, [1] * 5 + [0] * 2])

CALLS: dict[str, tuple[Any, ...]] = {
    "sd_turbo.unet": (first, STATE, STEP, WORDS),
    "sdxl_turbo.unet": (sdxl, STATE, STEP, WORDS, lambda: draw(B, 8), torch.full((B, 6), 16.0)),
    "lcm_dreamshaper.unet": (
        lambda m, x, t, text, guidance: first(m, x, t, text, timestep_cond=guidance),
        STATE, STEP, WORDS, lambda: draw(B, 8),
    ),
    "cd_imagenet64.unet": (first, IMAGE, STEP, LABEL),
    "cd_bedroom256.unet": (first, IMAGE, STEP),
    "pixart_delta.transformer": (pixart, LATENT, STEP, WORDS, MASK),
    "pixart_delta_1024.transformer": (pixart, LATENT, STEP, WORDS, MASK, torch.full((B, 2), 64.0), torch.ones(B, 1)),
    "dit.transformer": (first, LATENT, STEP.long(), LABEL),
    "sana_sprint.transformer": (
        lambda m, x, t, text, guidance, mask: first(m, x, text, t, guidance=guidance, encoder_attention_mask=mask),
        lambda: draw(B, 4, 4, 4), TIME, lambda: draw(B, TEXT, 8), TIME.flip(0), MASK,
    ),
    "flux_schnell.transformer": (flux, TOKENS, TIME, WORDS, POOLED),
    "sd35_turbo.transformer": (
        lambda m, x, t, text, pooled: first(m, x, text, pooled, t),
        STATE, STEP, WORDS, POOLED,
    ),
    "z_image_turbo.transformer": (z_image, lambda: draw(B, 4, 1, 8, 8), EARLY, WORDS),
    "qwen_image.transformer": (
        lambda m, x, t, text: first(m, x, text, None, t, img_shapes=[[GRID]] * B),
        TOKENS, TIME, WORDS,
    ),
    **{f"{name}.vae{DECODE}": (decode, LATENT) for name in ("sd", "flux", "sd3", "taesd", "sana")},
    **{f"{name}.vae{ENCODE}": (moments, IMAGE) for name in ("sd", "flux", "sd3")},
    **{f"{name}.vae{ENCODE}": (lambda m, x: first(m.encode, x), IMAGE) for name in ("taesd", "sana")},
    f"qwen.vae{DECODE}": (lambda m, z: decode(m, z[:, :, None])[:, :, 0], LATENT),
    f"qwen.vae{ENCODE}": (lambda m, x: moments(m, x[:, :, None])[:, :, 0], IMAGE),
}  # fmt: skip

"""Tiny networks of random weights as diffusers has them, one for each way that families are built, as ONNX."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

Call = tuple[Callable[..., Tensor], tuple[Tensor, ...]]

CROSS: dict[str, Any] = {
    "sample_size": 16,
    "layers_per_block": 1,
    "block_out_channels": [8, 16],
    "norm_num_groups": 4,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 16,
    "attention_head_dim": [1, 2],
    "use_linear_projection": True,
}
PIXELS: dict[str, Any] = {
    "sample_size": 16,
    "layers_per_block": 1,
    "num_class_embeds": 10,
    "block_out_channels": [8, 16],
    "attention_head_dim": 8,
    "down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "ResnetUpsampleBlock2D"],
    "resnet_time_scale_shift": "scale_shift",
    "norm_num_groups": 4,
    "attn_norm_num_groups": 4,
    "upsample_type": "resnet",
    "downsample_type": "resnet",
}
STREAMS: dict[str, Any] = {
    "patch_size": 1,
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 16,
    "pooled_projection_dim": 16,
    "axes_dims_rope": [4, 4, 8],
    "guidance_embeds": False,
}
PATCHES: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 1,
    "sample_size": 8,
    "patch_size": 2,
    "num_embeds_ada_norm": 10,
}
VAE: dict[str, Any] = {
    "block_out_channels": [4, 8],
    "norm_num_groups": 2,
    "sample_size": 16,
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "unet": ("UNet2DConditionModel", CROSS),
    "pixels": ("UNet2DModel", PIXELS),
    "streams": ("FluxTransformer2DModel", STREAMS),
    "patches": ("DiTTransformer2DModel", PATCHES),
    "decoder": ("AutoencoderKL", VAE),
}


class Called(nn.Module):
    def __init__(self, network: nn.Module, call: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network, self.call = network, call

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.call(self.network, *inputs)


def calls() -> dict[str, Call]:
    drawn, one = torch.randn, torch.ones(1)
    places = torch.cartesian_prod(*map(torch.arange, (1, 4, 4))).float()
    return {
        "unet": (lambda m, *x: m(*x, return_dict=False)[0], (drawn(1, 4, 16, 16), one, drawn(1, 7, 16))),
        "pixels": (lambda m, *x: m(*x, return_dict=False)[0], (drawn(1, 3, 16, 16), one, one.long())),
        "streams": (
            lambda m, *x: m(*x, img_ids=places, txt_ids=torch.zeros(7, 3), return_dict=False)[0],
            (drawn(1, 16, 16), drawn(1, 7, 16), drawn(1, 16), one),
        ),
        "patches": (lambda m, *x: m(*x, return_dict=False)[0], (drawn(1, 4, 8, 8), one.long(), one.long())),
        "decoder": (lambda m, z: m.decode(z, return_dict=False)[0], (drawn(1, 4, 8, 8),)),
    }


def export_tiny(name: str, opset: int) -> ir.Model:
    """One of CONFIGS; nothing of its weights is zero, so that every branch counts. Takes some seconds."""
    import diffusers

    torch.manual_seed(0)
    kind, config = CONFIGS[name]
    network = getattr(diffusers, kind)(**config).eval()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    call, inputs = calls()[name]
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(Called(network, call), inputs, dynamo=True, opset_version=opset, verbose=False)
    finally:
        logger.setLevel(level)
    assert program is not None
    return ir.from_proto(program.model_proto)

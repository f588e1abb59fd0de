"""Z-Image's transformer blocks with rotations as cosines and sines, where diffusers has complex numbers.

Neither ONNX nor kernels know complex numbers. The weights are those of diffusers' modules, which stay as they are.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


class Rotations:
    """Of positions on three axes, from tables in float32 whatever the network's precision."""

    def __init__(self, rope: Any) -> None:
        tables = rope.precompute_freqs_cis(rope.axes_dims, rope.axes_lens, rope.theta)
        self.tables = tuple(torch.view_as_real(table) for table in tables)

    def __call__(self, at: Tensor) -> Tensor:
        """at: (..., 3) int64 -> (..., D/2, 2), cosines and sines."""
        parts = (table.to(at.device)[at[..., axis]] for axis, table in enumerate(self.tables))
        return torch.cat(list(parts), dim=-2)


def block(layer: Any, x: Tensor, seen: Tensor | None, turns: Tensor, time: Tensor | None = None) -> Tensor:
    """ZImageTransformerBlock: x (B, N, D); seen (B, N), True where a token is attended to; time: None unmodulated."""
    if time is None:
        attended: Tensor = layer.attention_norm2(attention(layer.attention, layer.attention_norm1(x), seen, turns))
        x = x + attended
        fed: Tensor = layer.ffn_norm2(layer.feed_forward(layer.ffn_norm1(x)))
        return x + fed
    scale, gate, scale_2, gate_2 = layer.adaLN_modulation(time)[:, None].chunk(4, dim=2)
    y = attention(layer.attention, layer.attention_norm1(x) * (1 + scale), seen, turns)
    x = x + gate.tanh() * layer.attention_norm2(y)
    fed = layer.ffn_norm2(layer.feed_forward(layer.ffn_norm1(x) * (1 + scale_2)))
    out: Tensor = x + gate_2.tanh() * fed
    return out


def attention(attn: Any, x: Tensor, seen: Tensor | None, turns: Tensor) -> Tensor:
    q, k, v = (project(x).unflatten(-1, (attn.heads, -1)) for project in (attn.to_q, attn.to_k, attn.to_v))
    q, k = rotated(attn.norm_q(q), turns), rotated(attn.norm_k(k), turns)
    mask = None if seen is None else seen[:, None, None]
    y = scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
    out: Tensor = attn.to_out[0](y.transpose(1, 2).flatten(2))
    return out


def rotated(x: Tensor, turns: Tensor) -> Tensor:
    """x: (B, N, H, D), pairs (x_2i, x_2i+1); turns: (B, N, D/2, 2)."""
    cos, sin = turns[:, :, None].unbind(-1)
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2).type_as(x)

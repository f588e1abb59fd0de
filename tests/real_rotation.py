"""Rotary positions as cosines and sines where diffusers has complex numbers, which torch.onnx does not export."""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

GRID, TEXT = (1, 4, 4), 7  # patches of the images and tokens of the texts that Qwen-Image is traced with


@contextlib.contextmanager
def real_rotation(network: nn.Module) -> Iterator[None]:
    """Z-Image's and Qwen-Image's transformers; others stay as they are."""
    kind = type(network).__name__
    if kind == "ZImageTransformer2DModel":
        network.rope_embedder = Positions(network.rope_embedder)  # type: ignore[assignment]
        for part in network.modules():
            if type(part).__name__ == "Attention":
                part.processor = Attend()  # type: ignore[assignment]
    if kind != "QwenImageTransformer2DModel":
        yield
        return
    from diffusers.models.transformers import transformer_qwenimage

    network.pos_embed = Known(*map(torch.view_as_real, network.pos_embed([[GRID]], torch.device("cpu"), TEXT)))  # type: ignore[operator]
    with mock.patch.object(
        transformer_qwenimage, "apply_rotary_emb_qwen", lambda x, turns, use_real: rotated(x, turns)
    ):
        yield


def rotated(x: Tensor, turns: Tensor) -> Tensor:
    """x: (B, N, H, D), pairs (x_2i, x_2i+1); turns: (..., N, D / 2, 2), cosines and sines."""
    cos, sin = turns.unsqueeze(-3).unbind(-1)
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


class Positions:
    """Z-Image's RopeEmbedder."""

    def __init__(self, rope: Any) -> None:
        tables = rope.precompute_freqs_cis(rope.axes_dims, rope.axes_lens, rope.theta)
        self.tables = [torch.view_as_real(table) for table in tables]

    def __call__(self, ids: Tensor) -> Tensor:
        """ids: (N, axes) -> (N, D / 2, 2)"""
        return torch.cat([table[ids[:, axis]] for axis, table in enumerate(self.tables)], 1)


class Known(nn.Module):
    """What was computed before."""

    def __init__(self, *values: Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, *sizes: object, **options: object) -> tuple[Tensor, ...]:
        return self.values


class Attend:
    """Z-Image's ZSingleStreamAttnProcessor for sequences of one length."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        freqs_cis: Tensor | None = None,
    ) -> Tensor:
        assert attention_mask is None and freqs_cis is not None
        q, k, v = (part(hidden_states).unflatten(-1, (attn.heads, -1)) for part in (attn.to_q, attn.to_k, attn.to_v))
        q, k = rotated(attn.norm_q(q), freqs_cis), rotated(attn.norm_k(k), freqs_cis)
        y = nn.functional.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        out: Tensor = attn.to_out[0](y.transpose(1, 2).flatten(2))
        return out

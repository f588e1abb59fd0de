"""Qwen-Image's transformer blocks with rotations as cosines and sines, where diffusers has complex numbers.

The weights are those of diffusers' modules, which stay as they are.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fewstep.export.families.z_image_blocks import rotated


def block(
    layer: Any, x: Tensor, words: Tensor, seen: Tensor, time: Tensor, turns: Tensor, word_turns: Tensor
) -> tuple[Tensor, Tensor]:
    """QwenImageTransformerBlock: x (B, N, D) and words (B, L, D), which attend to all of both that is seen (B, L + N).

    turns, word_turns: (1, N or L, D/2, 2), cosines and sines.
    """
    mod, mod_2 = layer.img_mod(time)[:, None].chunk(2, dim=-1)
    word_mod, word_mod_2 = layer.txt_mod(time)[:, None].chunk(2, dim=-1)
    y, gate = modulated(layer.img_norm1(x), mod)
    v, word_gate = modulated(layer.txt_norm1(words), word_mod)
    y, v = attention(layer.attn, y, v, seen, turns, word_turns)
    x, words = x + gate * y, words + word_gate * v
    y, gate = modulated(layer.img_norm2(x), mod_2)
    v, word_gate = modulated(layer.txt_norm2(words), word_mod_2)
    return x + gate * layer.img_mlp(y), words + word_gate * layer.txt_mlp(v)


def modulated(x: Tensor, mod: Tensor) -> tuple[Tensor, Tensor]:
    """Scaled and shifted, and the gate of what is made of it."""
    shift, scale, gate = mod.chunk(3, dim=-1)
    return x * (1 + scale) + shift, gate


def attention(
    attn: Any, x: Tensor, words: Tensor, seen: Tensor, turns: Tensor, word_turns: Tensor
) -> tuple[Tensor, Tensor]:
    """Of both streams together, the words first; apart again in the end."""

    def heads(project: Any, given: Tensor) -> Tensor:
        made: Tensor = project(given).unflatten(-1, (attn.heads, -1))
        return made

    image = (rotated(attn.norm_q(heads(attn.to_q, x)), turns), rotated(attn.norm_k(heads(attn.to_k, x)), turns))
    text = (
        rotated(attn.norm_added_q(heads(attn.add_q_proj, words)), word_turns),
        rotated(attn.norm_added_k(heads(attn.add_k_proj, words)), word_turns),
    )
    q, k = (torch.cat([a, b], dim=1).transpose(1, 2) for a, b in zip(text, image, strict=True))
    v = torch.cat([heads(attn.add_v_proj, words), heads(attn.to_v, x)], dim=1).transpose(1, 2)
    y = scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None]).transpose(1, 2).flatten(2)
    L = words.shape[1]
    return attn.to_out[0](y[:, L:]), attn.to_add_out(y[:, :L])

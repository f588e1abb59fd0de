"""QK-norm and rotation at the families' shapes: one stream, and two streams that attend to each other."""

from functools import partial
from typing import Any

import torch

from fewstep.kernels.cost import Cost
from fewstep.kernels.launch import Launch, run_all
from fewstep.kernels.norm_rope import Heads, norm_rope, norm_rope_cost, norm_rope_launches, norm_rope_ref
from fewstep.kernels.rotary import Layout, rotate_ref
from fewstep.profile.case import Case, Inputs, normal

Stream = tuple[Any, ...]  # q, k, q_weight, k_weight, cos, sin, v

SINGLE: dict[tuple[str, ...], tuple[int, int, int, int, Layout]] = {  # families: (N, H, G, D, layout)
    ("qwen3-4b",): (128, 32, 8, 128, "half"),
    ("z-image-turbo",): (4224, 30, 30, 128, "interleaved"),
    ("flux-schnell single",): (4352, 24, 24, 128, "interleaved"),
}
JOINT = {  # families: (tokens first, tokens second, H, D, whether they are rotated)
    ("qwen-image",): (128, 4096, 24, 128, True),
    ("sd3.5-turbo",): (4096, 333, 38, 64, False),
    ("flux-schnell double",): (256, 4096, 24, 128, True),
}


def make(device: str, dtype: torch.dtype, seed: int, *, N: int, H: int, G: int, D: int, layout: Layout) -> Inputs:
    q, k, q_weight, k_weight, cos, sin, _ = stream(device, dtype, seed, N, H, G, D)
    return {"q": q, "k": k, "q_weight": q_weight, "k_weight": k_weight, "cos": cos, "sin": sin, "layout": layout}


def make_joint(
    device: str, dtype: torch.dtype, seed: int, *, tokens: tuple[int, int], H: int, D: int, rotated: bool
) -> Inputs:
    first, second = (stream(device, dtype, seed + 9 * i, N, H, H, D, rotated) for i, N in enumerate(tokens))
    return {"first": first, "second": second}


def stream(
    device: str, dtype: torch.dtype, seed: int, N: int, H: int, G: int, D: int, rotated: bool = True
) -> Stream:  # fmt: skip
    """q, k and v are views of one packed projection."""
    q, k, v = normal(device, dtype, seed, 1, N, H + 2 * G, D).split((H, G, G), dim=2)
    q_weight, k_weight = (normal(device, dtype, seed + i, D) for i in (1, 2))
    angle = normal(device, torch.float32, seed + 3, N, D // 2) if rotated else None
    cos, sin = (None, None) if angle is None else (angle.cos(), angle.sin())
    return q, k, q_weight, k_weight, cos, sin, v


def joint_launches(first: Stream, second: Stream, *, arch: int | None = None) -> tuple[Heads, list[Launch]]:
    """Two launches that fill one buffer for each of q, k and v."""
    B, N, H, D = first[0].shape
    M = N + second[0].shape[1]
    out = tuple(torch.empty((B, H, M, D), dtype=first[0].dtype, device=first[0].device) for _ in range(3))
    launches = norm_rope_launches(*first[:6], v=first[6], out=out, arch=arch)[1]
    return out, launches + norm_rope_launches(*second[:6], v=second[6], out=out, offset=N, arch=arch)[1]


def joint(first: Stream, second: Stream) -> Heads:
    out, launches = joint_launches(first, second)
    run_all(launches)
    return out


def joint_reference(first: Stream, second: Stream) -> Heads:
    """As the families' attention processors do: each stream is normalised, then concatenated, then rotated."""
    streams = [
        (*(torch.nn.functional.rms_norm(x, w.shape, w, 1e-6) for x, w in ((q, q_weight), (k, k_weight))), v)
        for q, k, q_weight, k_weight, _, _, v in (first, second)
    ]
    q, k, v = (torch.cat(pair, dim=1) for pair in zip(*streams, strict=True))
    if first[4] is not None:
        cos, sin = (torch.cat(pair) for pair in zip(first[4:6], second[4:6], strict=True))
        q, k = (rotate_ref(x, cos, sin, "interleaved") for x in (q, k))
    return tuple(x.transpose(1, 2) for x in (q, k, v))


def joint_cost(first: Stream, second: Stream) -> Cost:
    a, b = (norm_rope_cost(*each[:6], v=each[6]) for each in (first, second))
    return Cost(a.bytes + b.bytes, a.flop + b.flop)


CASES = [
    Case(
        "norm_rope",
        f"1x{N}x{H}x{G}x{D} {layout}",
        families,
        partial(make, N=N, H=H, G=G, D=D, layout=layout),
        norm_rope,
        norm_rope_ref,
        norm_rope_launches,
        norm_rope_cost,
    )
    for families, (N, H, G, D, layout) in SINGLE.items()
] + [
    Case(
        "norm_rope",
        f"1x{first}+{second}x{H}x{D}" + " rotated" * rotated,
        families,
        partial(make_joint, tokens=(first, second), H=H, D=D, rotated=rotated),
        joint,
        joint_reference,
        joint_launches,
        joint_cost,
    )
    for families, (first, second, H, D, rotated) in JOINT.items()
]

"""Distils the teacher into a few-step consistency model: python -m recipes.toons16.distill

Discrete TrigFlow consistency distillation (Song et al. 2023, algorithm 2, in the TrigFlow form of Lu & Song 2024): on a
uniform grid of N times, one guided DDIM step of the teacher takes x_t to x_s, and the student's f(x_t, t) is drawn to
the target network's f(x_s, s) under a pseudo-Huber loss. N grows 8 -> 16 -> 24. Interrupted, it resumes where it was.
"""

import math
from collections.abc import Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor

from recipes.toons16.fit import fit, stage_parser
from recipes.toons16.training import Pictures, build, frozen_copy, lerp_towards
from recipes.toons16.trigflow import ddim, denoise, guided, per_image

GRIDS = ((0.4, 8), (0.75, 16), (1.0, 24))  # up to this share of the run, so many intervals
PURE_NOISE = 0.15  # share of each batch at t = pi/2, where one-step generation starts
TARGET_EMA = 0.95


def intervals(progress: float) -> int:
    return next(n for share, n in GRIDS if progress < share)


def pseudo_huber(difference: Tensor) -> Tensor:
    """sqrt(||d||^2 + c^2) - c a picture, c = 0.00054 sqrt(dim) (Song & Dhariwal 2023, section 3.3)."""
    flat = difference.flatten(1)
    c = 0.00054 * math.sqrt(flat.shape[1])
    return (flat.square().sum(1) + c * c).sqrt() - c


def main(argv: Sequence[str] | None = None) -> None:
    parser = stage_parser(__doc__, steps=3_000, batch=64, lr=4e-4, seed=1)
    parser.add_argument("--guidance", type=float, default=1.5)
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    pictures = Pictures(args.run / "train.npz")
    teacher = build(args.preset)
    teacher.load_state_dict(load_file(args.run / "teacher.safetensors"))
    net, target, ema = build(args.preset), frozen_copy(teacher), frozen_copy(teacher)
    net.load_state_dict(teacher.state_dict())
    teacher.eval().requires_grad_(False)
    sd = net.config.sigma_data
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr, betas=(0.9, 0.99), fused=True)

    def loss_of(step: int, g: torch.Generator) -> Tensor:
        N = intervals(step / args.steps)
        x_0, labels = pictures.batch(args.batch, g)
        z = torch.randn(x_0.shape, generator=g).contiguous(memory_format=torch.channels_last) * sd
        i = torch.randint(1, N + 1, (args.batch,), generator=g)
        i = torch.where(torch.rand(args.batch, generator=g) < PURE_NOISE, N, i)
        t, s = i * (math.pi / 2 / N), (i - 1) * (math.pi / 2 / N)
        x_t = per_image(t.cos()) * x_0 + per_image(t.sin()) * z
        with torch.no_grad():
            x_s = ddim(x_t, t, s, guided(teacher, x_t, t, labels, args.guidance), sd)
            f_s = torch.where(per_image(i == 1), x_s, denoise(x_s, s, target(x_s / sd, s, labels), sd))
        f_t = denoise(x_t, t, net(x_t / sd, t, labels), sd)
        return pseudo_huber(f_t - f_s).mean() / math.sqrt(x_0[0].numel())

    fit(
        "consistency",
        args,
        net,
        ema,
        optimizer,
        loss_of,
        warmup=30,
        floor=0.05,
        decay=0.995,
        nets={"target": target},
        after_step=lambda: lerp_towards(target, net, 1 - TARGET_EMA),
    )


if __name__ == "__main__":
    main()

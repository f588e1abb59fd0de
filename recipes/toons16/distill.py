"""Distils the teacher into a few-step consistency model: python -m recipes.toons16.distill

Discrete TrigFlow consistency distillation (Song et al. 2023, algorithm 2, in the TrigFlow form of Lu & Song 2024): on a
uniform grid of N times, one guided DDIM step of the teacher takes x_t to x_s, and the student's f(x_t, t) is drawn to
the target network's f(x_s, s) under a pseudo-Huber loss. N grows 8 -> 16 -> 24. Interrupted, it resumes where it was.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from recipes.toons16.progress import Progress
from recipes.toons16.training import (
    Pictures,
    build,
    ema_weight,
    frozen_copy,
    lerp_towards,
    mean,
    resume,
    save_checkpoint,
    set_lr,
    step_generator,
)
from recipes.toons16.trigflow import ddim, denoise, guided, per_image

GRIDS = ((0.4, 8), (0.75, 16), (1.0, 24))  # up to this share of the run, so many intervals
PURE_NOISE = 0.15  # share of each batch at t = pi/2, where one-step generation starts
TARGET_EMA = 0.95
CHECKPOINT_EVERY = 250


def intervals(progress: float) -> int:
    return next(n for share, n in GRIDS if progress < share)


def pseudo_huber(difference: Tensor) -> Tensor:
    """sqrt(||d||^2 + c^2) - c a picture, c = 0.00054 sqrt(dim) (Song & Dhariwal 2023, section 3.3)."""
    flat = difference.flatten(1)
    c = 0.00054 * math.sqrt(flat.shape[1])
    return (flat.square().sum(1) + c * c).sqrt() - c


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/toons16-32"))
    parser.add_argument("--preset", default="toons16-32")
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--guidance", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
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
    checkpoint, nets = args.run / "consistency.pt", {"net": net, "target": target, "ema": ema}
    start = resume(checkpoint, {"optimizer": optimizer}, nets)

    losses: list[float] = []
    with Progress("distil", args.steps, start) as progress:
        for step in range(start, args.steps):
            g = step_generator(args.seed, step)
            share = step / args.steps
            N = intervals(share)
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
            loss = pseudo_huber(f_t - f_s).mean() / math.sqrt(x_0[0].numel())

            warmup = min(1.0, (step + 1) / 30)
            set_lr(optimizer, args.lr * warmup * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share))))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            lerp_towards(target, net, 1 - TARGET_EMA)
            lerp_towards(ema, net, ema_weight(0.995, step))
            losses = [*losses[-199:], loss.item()]
            progress.update(step + 1, f"N {N} loss {mean(losses):.5f}")
            if (step + 1) % CHECKPOINT_EVERY == 0:
                save_checkpoint(checkpoint, step + 1, {"optimizer": optimizer}, nets)
    save_file({k: v.contiguous() for k, v in ema.state_dict().items()}, args.run / "consistency.safetensors")


if __name__ == "__main__":
    main()

"""Trains the teacher, a TrigFlow diffusion model: python -m recipes.toons16.teacher

Target v = cos(t) z - sin(t) x_0 and loss mean ||F - v / sigma_data||^2 with tan(t) = e^tau / sigma_data, tau ~ N(-0.6,
1.5) (Lu & Song 2024, section 3). Stops after --steps; interrupted, it resumes where it was and ends with the same
weights.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

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
from recipes.toons16.trigflow import per_image

CHECKPOINT_EVERY = 500
LABEL_DROPOUT = 0.12


def learning_rate(peak: float, step: int, steps: int) -> float:
    warmup = min(1.0, (step + 1) / 150)
    return peak * warmup * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/toons16-32"))
    parser.add_argument("--preset", default="toons16-32")
    parser.add_argument("--steps", type=int, default=13_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--ema", type=float, default=0.999)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    pictures = Pictures(args.run / "train.npz")
    net = build(args.preset)
    ema = frozen_copy(net)
    sd = net.config.sigma_data
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    checkpoint, nets = args.run / "teacher.pt", {"net": net, "ema": ema}
    start = resume(checkpoint, {"optimizer": optimizer}, nets)

    losses: list[float] = []
    with Progress("teacher", args.steps, start) as progress:
        for step in range(start, args.steps):
            g = step_generator(args.seed, step)
            x_0, labels = pictures.batch(args.batch, g)
            dropped = torch.rand(args.batch, 1, generator=g) < LABEL_DROPOUT
            labels = torch.where(dropped, net.null_labels, labels)
            t = torch.atan(torch.exp(torch.randn(args.batch, generator=g) * 1.5 - 0.6) / sd)
            z = torch.randn(x_0.shape, generator=g).contiguous(memory_format=torch.channels_last) * sd
            cos, sin = per_image(t.cos()), per_image(t.sin())
            loss = (net((cos * x_0 + sin * z) / sd, t, labels) - (cos * z - sin * x_0) / sd).square().mean()

            set_lr(optimizer, learning_rate(args.lr, step, args.steps))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            lerp_towards(ema, net, ema_weight(args.ema, step))
            losses = [*losses[-199:], loss.item()]
            progress.update(step + 1, f"loss {mean(losses):.4f}")
            if (step + 1) % CHECKPOINT_EVERY == 0:
                save_checkpoint(checkpoint, step + 1, {"optimizer": optimizer}, nets)
    save_file({k: v.contiguous() for k, v in ema.state_dict().items()}, args.run / "teacher.safetensors")


if __name__ == "__main__":
    main()

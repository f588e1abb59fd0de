"""Teaches the student where the teacher's trajectories end: python -m recipes.toons16.regress

Regression of f(x_t, t) to the end of the trajectory through x_t (Luhman & Luhman 2021, arXiv 2101.02388), at the times
that sampling uses, from the consistency model, under a pseudo-Huber loss. Interrupted, it resumes where it was.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from recipes.toons16.distill import pseudo_huber
from recipes.toons16.progress import Progress
from recipes.toons16.training import (
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
from recipes.toons16.trajectories import times
from recipes.toons16.trigflow import denoise

SHARES = (
    0.4,
    0.1,
    0.4,
    0.1,
)  # of each batch at each of the trajectories' times; two-step sampling uses the first and third
CHECKPOINT_EVERY = 500


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/toons16-32"))
    parser.add_argument("--preset", default="toons16-32")
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    shards = [load_file(path) for path in sorted((args.run / "trajectories").glob("*.safetensors"))]
    states = torch.cat([shard["states"] for shard in shards], dim=1)
    pictures, labels = (torch.cat([shard[key] for shard in shards]) for key in ("pictures", "labels"))
    net = build(args.preset)
    net.load_state_dict(load_file(args.run / "consistency.safetensors"))
    ema = frozen_copy(net)
    sd = net.config.sigma_data
    kept, shares = torch.tensor(times()), torch.tensor(SHARES)
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr, betas=(0.9, 0.99), fused=True)
    checkpoint, nets = args.run / "regressed.pt", {"net": net, "ema": ema}
    start = resume(checkpoint, {"optimizer": optimizer}, nets)

    losses: list[float] = []
    with Progress("regress", args.steps, start) as progress:
        for step in range(start, args.steps):
            g = step_generator(args.seed, step)
            k = torch.multinomial(shares, args.batch, replacement=True, generator=g)
            i = torch.randint(len(pictures), (args.batch,), generator=g)
            x_t = states[k, i].float().contiguous(memory_format=torch.channels_last)
            f = denoise(x_t, kept[k], net(x_t / sd, kept[k], labels[i]), sd)
            loss = pseudo_huber(f - pictures[i].float()).mean() / math.sqrt(f[0].numel())

            warmup = min(1.0, (step + 1) / 50)
            set_lr(optimizer, args.lr * warmup * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / args.steps))))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            lerp_towards(ema, net, ema_weight(0.998, step))
            losses = [*losses[-199:], loss.item()]
            progress.update(step + 1, f"loss {mean(losses):.5f}")
            if (step + 1) % CHECKPOINT_EVERY == 0:
                save_checkpoint(checkpoint, step + 1, {"optimizer": optimizer}, nets)
    save_file({k: v.contiguous() for k, v in ema.state_dict().items()}, args.run / "regressed.safetensors")


if __name__ == "__main__":
    main()

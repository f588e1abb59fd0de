"""Solves the teacher's ODE from many noises and keeps states on the way: python -m recipes.toons16.trajectories

A shard holds, for a few hundred random labels, the state x_t at each of KEPT and the picture its trajectory ends in.
Guided, INTERVALS even steps of a two-step Adams-Bashforth rule for F on top of DDIM. Shards that are there are kept.
"""

import argparse
import math
from collections.abc import Sequence
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fewstep.export.families.trigflow_unet import TrigFlowUNet
from recipes.toons16.labels import COUNTS
from recipes.toons16.progress import Progress
from recipes.toons16.training import build, step_generator
from recipes.toons16.trigflow import ddim, guided

INTERVALS = 16
KEPT = (16, 13, 11, 8)  # of the 16 intervals, those to 0 that are left: t = pi/2, 1.276, 1.080 and 0.785
SHARD = 250


def times() -> list[float]:
    return [math.pi / 2 * left / INTERVALS for left in KEPT]


@torch.no_grad()
def solve(net: TrigFlowUNet, z: Tensor, labels: Tensor, guidance: float) -> tuple[Tensor, Tensor]:
    """States (len(KEPT), B, 3, S, S) of the trajectories from unit noise z, and the pictures they end in."""
    sd, h = net.config.sigma_data, math.pi / 2 / INTERVALS
    x, before, states = z * sd, None, []
    for left in range(INTERVALS, 0, -1):
        if left in KEPT:
            states.append(x)
        t = torch.full((len(x),), left * h)
        F = guided(net, x, t, labels, guidance)
        x = ddim(x, t, t - h, F if before is None else 1.5 * F - 0.5 * before, sd)
        before = F
    return torch.stack(states), x


def make_shard(run: Path, preset: str, guidance: float, seed: int, index: int) -> None:
    path = run / "trajectories" / f"{index:04d}.safetensors"
    if path.exists():
        return
    torch.set_num_threads(1)
    net = build(preset).eval().requires_grad_(False)
    net.load_state_dict(load_file(run / "teacher.safetensors"))
    g = step_generator(seed, index)
    S = net.config.image_size
    labels = torch.stack([torch.randint(n, (SHARD,), generator=g) for n in COUNTS], dim=1)
    z = torch.randn(SHARD, 3, S, S, generator=g).contiguous(memory_format=torch.channels_last)
    states, pictures = solve(net, z, labels, guidance)
    partial_path = path.with_suffix(".partial")
    save_file(
        {"states": states.half().contiguous(), "pictures": pictures.half().contiguous(), "labels": labels}, partial_path
    )
    partial_path.rename(path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/toons16-32"))
    parser.add_argument("--preset", default="toons16-32")
    parser.add_argument("--shards", type=int, default=40, help=f"of {SHARD} trajectories")
    parser.add_argument("--guidance", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args(argv)
    (args.run / "trajectories").mkdir(exist_ok=True)
    make = partial(make_shard, args.run, args.preset, args.guidance, args.seed)
    with Pool(args.workers) as pool, Progress("trajectories", args.shards) as progress:
        for n, _ in enumerate(pool.imap_unordered(make, range(args.shards))):
            progress.update(n + 1)


if __name__ == "__main__":
    main()

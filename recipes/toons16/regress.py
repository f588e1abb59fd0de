"""Teaches the student where the teacher's trajectories end: python -m recipes.toons16.regress

Regression of f(x_t, t) to the end of the trajectory through x_t (Luhman & Luhman 2021, arXiv 2101.02388), at the times
that sampling uses, from the consistency model, under a pseudo-Huber loss. Interrupted, it resumes where it was.
"""

import math
from collections.abc import Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor

from recipes.toons16.distill import pseudo_huber
from recipes.toons16.fit import fit, stage_parser
from recipes.toons16.training import build, frozen_copy
from recipes.toons16.trajectories import times
from recipes.toons16.trigflow import denoise

# Of each batch at each of the trajectories' times; two-step sampling uses the first and third.
SHARES = (0.4, 0.1, 0.4, 0.1)


def main(argv: Sequence[str] | None = None) -> None:
    args = stage_parser(__doc__, steps=3_000, batch=64, lr=6e-4, seed=5).parse_args(argv)

    torch.set_num_threads(args.threads)
    shards = [load_file(path) for path in sorted((args.run / "trajectories").glob("*.safetensors"))]
    states = torch.cat([shard["states"] for shard in shards], dim=1)
    pictures, labels = (torch.cat([shard[key] for shard in shards]) for key in ("pictures", "labels"))
    net = build(args.preset)
    net.load_state_dict(load_file(args.run / "consistency.safetensors"))
    sd = net.config.sigma_data
    kept, shares = torch.tensor(times()), torch.tensor(SHARES)
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr, betas=(0.9, 0.99), fused=True)

    def loss_of(_: int, g: torch.Generator) -> Tensor:
        k = torch.multinomial(shares, args.batch, replacement=True, generator=g)
        i = torch.randint(len(pictures), (args.batch,), generator=g)
        x_t = states[k, i].float().contiguous(memory_format=torch.channels_last)
        f = denoise(x_t, kept[k], net(x_t / sd, kept[k], labels[i]), sd)
        return pseudo_huber(f - pictures[i].float()).mean() / math.sqrt(f[0].numel())

    fit("regressed", args, net, frozen_copy(net), optimizer, loss_of, warmup=50, floor=0.02, decay=0.998)


if __name__ == "__main__":
    main()

"""Trains the teacher, a TrigFlow diffusion model: python -m recipes.toons16.teacher

Target v = cos(t) z - sin(t) x_0 and loss mean ||F - v / sigma_data||^2 with tan(t) = e^tau / sigma_data, tau ~ N(-0.6,
1.5) (Lu & Song 2024, section 3). Stops after --steps; interrupted, it resumes where it was and ends with the same
weights.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from recipes.toons16.fit import fit, stage_parser
from recipes.toons16.training import Pictures, build, frozen_copy
from recipes.toons16.trigflow import per_image

LABEL_DROPOUT = 0.12


def main(argv: Sequence[str] | None = None) -> None:
    parser = stage_parser(__doc__, steps=13_000, batch=64, lr=2e-3, seed=0)
    parser.add_argument("--ema", type=float, default=0.999)
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    pictures = Pictures(args.run / "train.npz")
    net = build(args.preset)
    sd = net.config.sigma_data
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)

    def loss_of(_: int, g: torch.Generator) -> Tensor:
        x_0, labels = pictures.batch(args.batch, g)
        dropped = torch.rand(args.batch, 1, generator=g) < LABEL_DROPOUT
        labels = torch.where(dropped, net.null_labels, labels)
        t = torch.atan(torch.exp(torch.randn(args.batch, generator=g) * 1.5 - 0.6) / sd)
        z = torch.randn(x_0.shape, generator=g).contiguous(memory_format=torch.channels_last) * sd
        cos, sin = per_image(t.cos()), per_image(t.sin())
        F: Tensor = net((cos * x_0 + sin * z) / sd, t, labels)
        return (F - (cos * z - sin * x_0) / sd).square().mean()

    fit("teacher", args, net, frozen_copy(net), optimizer, loss_of, warmup=150, floor=0.02, decay=args.ema)


if __name__ == "__main__":
    main()

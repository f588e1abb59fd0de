"""The yardstick: a small CNN that reads a picture's labels, and the statistics of its features on held-out renders.

Quality is reported as label accuracies and as the Frechet distance between Gaussian fits of the 128 features (the form
of Heusel et al. 2017, equation 6, on this network instead of Inception: an internal yardstick, not FID).

python -m recipes.toons16.yardstick trains it and writes yardstick.safetensors and reference.safetensors.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from fewstep.evaluation import Gaussian
from recipes.toons16.labels import COUNTS
from recipes.toons16.progress import Progress
from recipes.toons16.training import Pictures, channels_last, mean, save_weights, set_lr, step_generator, to_unit

FEATURES = 128


class Yardstick(nn.Module):
    """Images (B, 3, S, S) in [-1, 1] -> features (B, 128) and the logits of all labels (B, sum of counts)."""

    def __init__(self, counts: tuple[int, ...] = COUNTS, channels: tuple[int, ...] = (32, 64, 128, 128)) -> None:
        super().__init__()
        self.counts = counts
        layers: list[nn.Module] = []
        width = 3
        for i, c in enumerate(channels):
            layers += [nn.Conv2d(width, c, 3, stride=1 if i == 0 else 2, padding=1), nn.BatchNorm2d(c), nn.ReLU()]
            width = c
        self.body = nn.Sequential(*layers)
        self.project = nn.Linear(2 * width, FEATURES)
        self.heads = nn.Linear(FEATURES, sum(counts))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        features = F.relu(self.project(torch.cat([h.mean((2, 3)), h.amax((2, 3))], dim=1)))
        return features, self.heads(features)


@torch.no_grad()
def read(net: Yardstick, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features (n, 128) and logits of uint8 images (n, 3, S, S)."""
    parts = [net(to_unit(chunk)) for chunk in images.split(500)]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def accuracies(logits: Tensor, labels: Tensor, counts: tuple[int, ...]) -> list[float]:
    """Share of pictures whose label is read as asked for, one figure a label."""
    return [
        (part.argmax(1) == labels[:, i]).double().mean().item()
        for i, part in enumerate(logits.split(list(counts), dim=1))
    ]


def load_yardstick(run: Path) -> Yardstick:
    net = Yardstick()
    net.load_state_dict(load_file(run / "yardstick.safetensors"))
    return net.eval()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/toons16-32"))
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    pictures = Pictures(args.run / "train.npz")
    net = channels_last(Yardstick())
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, betas=(0.9, 0.99), weight_decay=0.02)
    losses: list[float] = []
    with Progress("yardstick", args.steps) as progress:
        for step in range(args.steps):
            g = step_generator(args.seed, step)
            x, labels = pictures.batch(args.batch, g)
            x = x + torch.randn(x.shape, generator=g) * 0.03 * torch.rand(args.batch, 1, 1, 1, generator=g)
            logits = net(x)[1].split(list(net.counts), dim=1)
            loss = torch.stack([F.cross_entropy(part, labels[:, i]) for i, part in enumerate(logits)]).sum()
            set_lr(optimizer, 2e-3 * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / args.steps))))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses = [*losses[-99:], loss.item()]
            progress.update(step + 1, f"loss {mean(losses):.4f}")

    net.eval()
    save_weights(net, args.run / "yardstick.safetensors")
    reference: dict[str, Tensor] = {}
    for split in ("test", "test2"):
        held_out = Pictures(args.run / f"{split}.npz")
        features, logits_all = read(net, held_out.images)
        fit = Gaussian.fit(features.double().numpy())
        reference |= {f"{split}.mean": torch.from_numpy(fit.mean), f"{split}.cov": torch.from_numpy(fit.covariance)}
        print(split, "class, background, colour accuracy", accuracies(logits_all, held_out.labels, net.counts))
    save_file(reference, args.run / "reference.safetensors")


if __name__ == "__main__":
    main()

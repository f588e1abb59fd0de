"""Sharpens the student against real pictures: python -m recipes.toons16.adversarial

Adversarial distillation (Sauer et al. 2023, arXiv 2311.17042) on the student's own states: it denoises pure noise, its
picture is noised again to a later time as in sampling (Yin et al. 2024, section 4.5) and denoised once more. A
discriminator judges both. The student is drawn to what it made of the same state before this stage, moved by an RMS of
--reach along the discriminator's gradient, so that it stays near the teacher however strong the discriminator grows.
Interrupted, it resumes where it was.
"""

import math
from collections.abc import Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from fewstep.export.families.trigflow_unet import TrigFlowUNet
from recipes.toons16.fit import stage_parser
from recipes.toons16.labels import COUNTS
from recipes.toons16.progress import Progress
from recipes.toons16.training import (
    Pictures,
    build,
    channels_last,
    ema_weight,
    frozen_copy,
    lerp_towards,
    mean,
    resume,
    save_checkpoint,
    save_weights,
    set_lr,
    step_generator,
)
from recipes.toons16.trigflow import denoise, per_image

LATER_TIMES = (1.276, 1.08, 1.08, 1.08, 0.785)  # where sampling looks again; 1.08 is the second of two
BLUR = 0.1  # standard deviation of the noise that the discriminator sees every picture under
PENALTY_NOISE, PENALTY = 0.05, 20.0
CHECKPOINT_EVERY = 200


class Discriminator(nn.Module):
    """Scores (B, h, w) of pictures x (B, 3, S, S) in [-1, 1] as pictures of labels (B, L)."""

    def __init__(self, channels: tuple[int, ...] = (48, 96, 128)) -> None:
        super().__init__()
        first, *rest = channels
        layers: list[nn.Module] = [nn.Conv2d(3, first, 3, padding=1), nn.LeakyReLU(0.2)]
        for a, b in zip(channels, rest, strict=False):
            layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, nn.Conv2d(channels[-1], channels[-1], 3, padding=1), nn.LeakyReLU(0.2))
        self.score = nn.Conv2d(channels[-1], 1, 1)
        self.labels = nn.ModuleList(nn.Embedding(n, channels[-1]) for n in COUNTS)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        h = self.body(x)
        wanted = torch.stack([table(labels[:, i]) for i, table in enumerate(self.labels)]).sum(0)
        projected = (h * wanted[:, :, None, None]).sum(1) / math.sqrt(h.shape[1])
        scores: Tensor = self.score(h)[:, 0] + projected
        return scores


def like(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator).contiguous(memory_format=torch.channels_last)


def noised(x: Tensor, t: Tensor, sd: float, generator: torch.Generator) -> Tensor:
    return per_image(t.cos()) * x + per_image(t.sin()) * sd * like(x, generator)


def two_looks(
    net: TrigFlowUNet, anchor: TrigFlowUNet, labels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pictures (2B, 3, S, S) of B pure noises and of their noised-again pictures, and what the anchor makes of both."""
    B, S, sd = len(labels), net.config.image_size, net.config.sigma_data
    first = torch.full((B,), math.pi / 2)
    x = noised(torch.zeros(B, 3, S, S), first, sd, generator)
    made = denoise(x, first, net(x / sd, first, labels), sd)
    later = torch.tensor(LATER_TIMES)[torch.randint(len(LATER_TIMES), (B,), generator=generator)]
    x_later = noised(made.detach(), later, sd, generator)
    again = denoise(x_later, later, net(x_later / sd, later, labels), sd)
    with torch.no_grad():
        x_both, t_both, l_both = torch.cat([x, x_later]), torch.cat([first, later]), torch.cat([labels, labels])
        anchored = denoise(x_both, t_both, anchor(x_both / sd, t_both, l_both), sd)
    return torch.cat([made, again]), anchored


def main(argv: Sequence[str] | None = None) -> None:
    parser = stage_parser(__doc__, steps=800, batch=32, lr=1e-4, seed=3)
    parser.add_argument("--start", default="regressed", help="the student to sharpen")
    parser.add_argument("--name", default="student", help="what to call the sharpened one")
    parser.add_argument("--reach", type=float, default=0.1, help="how far the pictures may move, as an RMS of [-1, 1]")
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    pictures = Pictures(args.run / "train.npz")
    net = build(args.preset)
    net.load_state_dict(load_file(args.run / f"{args.start}.safetensors"))
    anchor, ema, judge = frozen_copy(net), frozen_copy(net), channels_last(Discriminator())
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr, betas=(0.0, 0.99), fused=True)
    judge_optimizer = torch.optim.Adam(judge.parameters(), lr=4e-4, betas=(0.0, 0.99), fused=True)
    checkpoint, nets = args.run / f"{args.name}.pt", {"net": net, "ema": ema, "judge": judge}
    optimizers = {"optimizer": optimizer, "judge_optimizer": judge_optimizer}
    start = resume(checkpoint, optimizers, nets)

    judged: list[float] = []
    apart: list[float] = []
    with Progress("adversarial", args.steps, start) as progress:
        for step in range(start, args.steps):
            g = step_generator(args.seed, step)
            real, real_labels = pictures.batch(2 * args.batch, g)
            _, labels = pictures.batch(args.batch, g)
            fake, anchored = two_looks(net, anchor, labels, g)
            both = torch.cat([labels, labels])
            real, fake_seen = real + BLUR * like(real, g), fake.detach() + BLUR * like(real, g)
            real_score = judge(real, real_labels)
            # the discriminator's answer to a little noise, an approximate R1 penalty (Lin et al. 2025, section 4.2)
            change = judge(real + PENALTY_NOISE * like(real, g), real_labels) - real_score
            judge_loss = F.relu(1 - real_score).mean() + F.relu(1 + judge(fake_seen, both)).mean()
            judge_optimizer.zero_grad(set_to_none=True)
            (judge_loss + PENALTY * change.square().mean()).backward()
            judge_optimizer.step()

            moved = (fake.detach() + BLUR * like(real, g)).requires_grad_()
            (uphill,) = torch.autograd.grad(judge(moved, both).mean((1, 2)).sum(), moved)
            uphill = uphill / uphill.square().mean().sqrt()
            distance = (fake - anchored).square().mean()
            warmup = min(1.0, step / 100)  # the judge learns first
            set_lr(optimizer, args.lr * warmup * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / args.steps))))
            optimizer.zero_grad(set_to_none=True)
            (fake - anchored - args.reach * uphill).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            lerp_towards(ema, net, ema_weight(0.995, step))
            judged, apart = [*judged[-99:], judge_loss.item()], [*apart[-99:], distance.item()]
            progress.update(step + 1, f"judge {mean(judged):.3f} from the anchor {math.sqrt(mean(apart)):.4f}")
            if (step + 1) % CHECKPOINT_EVERY == 0:
                save_checkpoint(checkpoint, step + 1, optimizers, nets)
    save_weights(ema, args.run / f"{args.name}.safetensors")


if __name__ == "__main__":
    main()

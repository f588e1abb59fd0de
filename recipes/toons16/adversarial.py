"""Sharpens the consistency model against real pictures: python -m recipes.toons16.adversarial

Latent adversarial distillation (Sauer et al. 2024, arXiv 2403.12015) on the student's own states: it denoises pure
noise, its picture is noised again to a later time as in sampling (Yin et al. 2024, section 4.5) and denoised once more.
A discriminator of small heads on the frozen teacher's features judges both under noise. The student is drawn to what
the consistency model made of the same state, moved by `--reach` along the discriminator's gradient. Interrupted, it
resumes where it was.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from fewstep.export.families.trigflow_unet import GROUPS, TrigFlowUNet
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
    set_lr,
    step_generator,
)
from recipes.toons16.trigflow import denoise, per_image

LATER_TIMES = (1.25, 1.1, 1.1, 0.95, 0.6)  # where two- and four-step sampling look again; 1.1 is the second of two
CHECKPOINT_EVERY = 200


class Discriminator(nn.Module):
    """Scores (B, n) of noised pictures x (B, 3, S, S), over sigma_data, at times t (B,) as pictures of labels."""

    def __init__(self, teacher: TrigFlowUNet, width: int = 64) -> None:
        super().__init__()
        self.features = [teacher]  # in a list: no part of this module's own state
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(GROUPS, c, affine=False),
                nn.Conv2d(c, width, 3, padding=1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(width, 1, 1),
            )
            for c in teacher.config.channels
        )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        (teacher,) = self.features
        levels = teacher.encode(x, teacher.embed(t, labels))
        return torch.cat([head(h).flatten(1) for head, h in zip(self.heads, levels, strict=True)], dim=1)


def noised(x: Tensor, t: Tensor, sd: float, generator: torch.Generator) -> Tensor:
    z = torch.randn(x.shape, generator=generator).contiguous(memory_format=torch.channels_last)
    return per_image(t.cos()) * x + per_image(t.sin()) * sd * z


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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/toons16-32"))
    parser.add_argument("--preset", default="toons16-32")
    parser.add_argument("--start", default="consistency.safetensors", help="the student to sharpen")
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--batch", type=int, default=32, help="pictures, each looked at twice")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--reach", type=float, default=0.15, help="RMS distance from the consistency model's pictures")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    pictures = Pictures(args.run / "train.npz")
    net = build(args.preset)
    net.load_state_dict(load_file(args.run / args.start))
    anchor, ema, teacher = frozen_copy(net), frozen_copy(net), frozen_copy(net)
    teacher.load_state_dict(load_file(args.run / "teacher.safetensors"))
    judge = channels_last(Discriminator(teacher))
    sd = net.config.sigma_data
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr, betas=(0.0, 0.99), fused=True)
    judge_optimizer = torch.optim.Adam(judge.parameters(), lr=1e-3, betas=(0.0, 0.99), fused=True)
    checkpoint, nets = args.run / "student.pt", {"net": net, "ema": ema, "judge": judge}
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
            t = torch.atan(torch.exp(torch.randn(2 * args.batch, generator=g) - 1.2) / sd)

            real_score = judge(noised(real, t, sd, g) / sd, t, real_labels)
            fake_score = judge(noised(fake.detach(), t, sd, g) / sd, t, both)
            judge_loss = F.relu(1 - real_score).mean() + F.relu(1 + fake_score).mean()
            judge_optimizer.zero_grad(set_to_none=True)
            judge_loss.backward()
            judge_optimizer.step()

            moved = fake.detach().requires_grad_()
            scores = judge(noised(moved, t, sd, g) / sd, t, both)
            (uphill,) = torch.autograd.grad(scores.mean(1).sum(), moved)
            uphill = uphill / uphill.square().mean().sqrt()
            distance = (fake - anchored).square().mean()
            warmup = min(1.0, step / 50)  # the judge learns first
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
    save_file({k: v.contiguous() for k, v in ema.state_dict().items()}, args.run / "student.safetensors")


if __name__ == "__main__":
    main()

"""The loop of the training stages that have one loss: seeded, averaged, resumable; and the flags all stages share."""

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from fewstep.export.families.trigflow_unet import TrigFlowUNet
from recipes.toons16.progress import Progress
from recipes.toons16.training import (
    ema_weight,
    lerp_towards,
    mean,
    resume,
    save_checkpoint,
    save_weights,
    set_lr,
    step_generator,
)

CHECKPOINT_EVERY = 250


def stage_parser(doc: str, *, steps: int, batch: int, lr: float, seed: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/toons16-32"))
    parser.add_argument("--preset", default="toons16-32")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--threads", type=int, default=1)
    return parser


def learning_rate(args: argparse.Namespace, step: int, warmup: int, floor: float) -> float:
    """A linear warm-up over `warmup` steps, times half a cosine from 1 to `floor`."""
    cosine = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * step / args.steps))
    return float(args.lr * min(1.0, (step + 1) / warmup) * cosine)


def fit(
    name: str,
    args: argparse.Namespace,
    net: TrigFlowUNet,
    ema: TrigFlowUNet,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[int, torch.Generator], Tensor],
    *,
    warmup: int,
    floor: float,
    decay: float,
    nets: Mapping[str, nn.Module] | None = None,
    after_step: Callable[[], None] | None = None,
) -> None:
    """Minimises loss_of(step, its generator) over args.steps and writes the average ema as <name>.safetensors.

    nets: what else a checkpoint holds; after_step() follows each change of net.
    """
    checkpoint, kept = args.run / f"{name}.pt", {"net": net, "ema": ema, **(nets or {})}
    start = resume(checkpoint, {"optimizer": optimizer}, kept)
    losses: list[float] = []
    with Progress(name, args.steps, start) as progress:
        for step in range(start, args.steps):
            loss = loss_of(step, step_generator(args.seed, step))
            set_lr(optimizer, learning_rate(args, step, warmup, floor))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            if after_step is not None:
                after_step()
            lerp_towards(ema, net, ema_weight(decay, step))
            losses = [*losses[-199:], loss.item()]
            progress.update(step + 1, f"loss {mean(losses):.5f}")
            if (step + 1) % CHECKPOINT_EVERY == 0:
                save_checkpoint(checkpoint, step + 1, {"optimizer": optimizer}, kept)
    save_weights(ema, args.run / f"{name}.safetensors")

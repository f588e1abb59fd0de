"""Measures teacher and student on the yardstick and draws contact sheets: python -m recipes.toons16.measure

Every row samples n pictures whose labels run through all classes and are otherwise random, and prints one JSON object.
Rows are named by what they sample: `teacher:20@1.5` is twenty guided DDIM steps, `student:1.5708,1.1` consistency
sampling at two times.
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from fewstep.evaluation import Gaussian, frechet
from fewstep.export.families.trigflow_unet import TrigFlowUNet
from recipes.toons16.labels import COUNTS
from recipes.toons16.progress import Progress
from recipes.toons16.training import Pictures, build, step_generator, to_unit
from recipes.toons16.trigflow import sample_consistency, sample_ode
from recipes.toons16.yardstick import accuracies, load_yardstick, read

CHUNK = 250
ROWS = ("teacher:20@1.5", "teacher:4@1.5", "teacher:2@1.5", "teacher:1@1.5", "student:1.5708", "student:1.5708,1.1781")


def wanted_labels(n: int) -> Tensor:
    g = torch.Generator().manual_seed(1)
    return torch.stack([torch.arange(n) % COUNTS[0], *(torch.randint(c, (n,), generator=g) for c in COUNTS[1:])], dim=1)


def sampler(row: str, net: TrigFlowUNet) -> Callable[[Tensor, Tensor, torch.Generator], Tensor]:
    kind, setting = row.split(":")
    if kind == "teacher":
        steps, scale = setting.split("@")
        times = np.linspace(math.pi / 2, 0, int(steps) + 1).tolist()
        return lambda z, labels, g: sample_ode(net, z, labels, times, float(scale))
    return lambda z, labels, g: sample_consistency(net, z, labels, [float(t) for t in setting.split(",")], g)


def generate(row: str, net: TrigFlowUNet, n: int) -> tuple[Tensor, Tensor]:
    """n pictures (n, 3, S, S) uint8 of a row, and the labels asked for."""
    labels, side = wanted_labels(n), net.config.image_size
    draw, images = sampler(row, net), []
    with Progress(row, n) as progress:
        for i in range(0, n, CHUNK):
            g = step_generator(123, i)
            part = labels[i : i + CHUNK]
            z = torch.randn(len(part), 3, side, side, generator=g).contiguous(memory_format=torch.channels_last)
            images.append(((draw(z, part, g).clamp(-1, 1) + 1) * 127.5).round().byte())
            progress.update(i + len(part))
    return torch.cat(images), labels


def nearest_rms(images: Tensor, pictures: Pictures) -> float:
    """Median over images of the RMS distance, in grey levels, to the closest training picture."""
    made = to_unit(images).flatten(1)
    distances = [torch.cdist(made, to_unit(part).flatten(1)).amin(1) for part in pictures.images.split(2000)]
    nearest = torch.stack(distances).amin(0)
    return float(nearest.median()) * 127.5 / math.sqrt(made.shape[1])


def contact_sheet(images: Tensor, path: Path, columns: int = 16, zoom: int = 3) -> None:
    rows, side = len(images) // columns, images.shape[-1]
    sheet = images[: rows * columns].permute(0, 2, 3, 1).numpy().reshape(rows, columns, side, side, 3)
    sheet = sheet.transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, 3)
    Image.fromarray(sheet).resize((columns * side * zoom, rows * side * zoom), Image.Resampling.NEAREST).save(path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", default=ROWS)
    parser.add_argument("--run", type=Path, default=Path("runs/toons16-32"))
    parser.add_argument("--preset", default="toons16-32")
    parser.add_argument("-n", type=int, default=5000)
    parser.add_argument("--copies", type=int, default=0, help="pictures a row to compare with the training set")
    parser.add_argument("--checkpoint", action="store_true", help="the running averages of an unfinished training")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    yardstick = load_yardstick(args.run)
    reference = {k: v.numpy() for k, v in load_file(args.run / "reference.safetensors").items()}
    held_out, other = (Gaussian(reference[f"{s}.mean"], reference[f"{s}.cov"]) for s in ("test", "test2"))
    print(json.dumps({"row": "real against real", "frechet": round(frechet(held_out, other), 3)}))
    for row in args.rows:
        kind = row.split(":")[0]
        net = build(args.preset)
        if args.checkpoint:
            net.load_state_dict(torch.load(args.run / f"{kind}.pt", weights_only=True)["ema"])
        else:
            net.load_state_dict(load_file(args.run / f"{kind}.safetensors"))
        images, labels = generate(row, net.eval().requires_grad_(False), args.n)
        features, logits = read(yardstick, images)
        result = {
            "row": row,
            "n": args.n,
            "frechet": round(frechet(held_out, Gaussian.fit(features.double().numpy())), 3),
        }
        result |= dict(zip(("class", "background", "color"), accuracies(logits, labels, COUNTS), strict=True))
        if args.copies:
            result["nearest_rms"] = nearest_rms(images[: args.copies], Pictures(args.run / "train.npz"))
        print(json.dumps(result), flush=True)
        contact_sheet(images[:128], args.run / f"{row.replace(':', '-')}.png")


if __name__ == "__main__":
    main()

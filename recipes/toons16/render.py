"""Renders the toons16 pictures with exact labels: python -m recipes.toons16.render

Each picture is a function of (split, class, index) through SHA-256 and of the pinned renderer packages, so a split can
be made again bit for bit. Writes SPLIT.npz with images uint8 (n, S, S, 3) and labels int64 (n, 3).
"""

import argparse
import hashlib
import io
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import resvg_py
from dicebear import Avatar, Style
from numpy.typing import NDArray
from PIL import Image

from recipes.toons16.labels import BACKGROUNDS, COLORS, DIMMED, SUBJECTS
from recipes.toons16.progress import Progress

OVERSAMPLE = 4  # rendered this much larger, then reduced with a box filter


@cache
def _style(name: str) -> Style:
    definition = json.loads((files("dicebear_styles") / f"{name}.json").read_text())
    license = definition["meta"]["license"]["name"]
    if license != "CC0 1.0":
        raise ValueError(f"style {name} is {license}, expected CC0 1.0: its pictures may not be used")
    return Style(definition)


def _dim(color: str) -> str:
    return "#" + "".join(f"{int(color[i : i + 2], 16) // 4:02x}" for i in (1, 3, 5))


def render(split: str, subject: int, index: int, size: int) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    """Picture `index` of a class: (size, size, 3) uint8 and its labels (class, background, colour)."""
    name = list(SUBJECTS)[subject]
    digest = hashlib.sha256(f"{split}/{name}/{index}".encode()).digest()
    labels = (subject, digest[12] % len(BACKGROUNDS), digest[13] % len(COLORS))
    background = list(BACKGROUNDS.values())[labels[1]]
    color = list(COLORS.values())[labels[2]]
    if name in DIMMED:
        background = _dim(background)

    side = OVERSAMPLE * size
    options = {option: [color] for option in SUBJECTS[name]}
    avatar = Avatar(_style(name), {"seed": digest[:12].hex(), "size": side, "backgroundColor": [background], **options})
    png = bytes(resvg_py.svg_to_bytes(svg_string=str(avatar), width=side, height=side))
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    canvas = Image.new("RGBA", drawn.size, background)
    canvas.alpha_composite(drawn)
    return np.asarray(canvas.convert("RGB").resize((size, size), Image.Resampling.BOX)), labels


def _job(job: tuple[str, int, int, int]) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    return render(*job)


def render_split(split: str, per_class: int, size: int, path: Path, workers: int) -> None:
    jobs = [(split, c, i, size) for i in range(per_class) for c in range(len(SUBJECTS))]
    images = np.empty((len(jobs), size, size, 3), np.uint8)
    labels = np.empty((len(jobs), 3), np.int64)
    with Pool(workers) as pool, Progress(f"render {split}", len(jobs)) as progress:
        for n, (image, label) in enumerate(pool.imap(_job, jobs, chunksize=64)):
            images[n], labels[n] = image, label
            progress.update(n + 1)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, images=images, labels=labels)
    partial.rename(path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/toons16-32"))
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--train", type=int, default=3750, help="pictures a class in the training split")
    parser.add_argument("--test", type=int, default=625, help="pictures a class in each of the two held-out splits")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args(argv)
    args.run.mkdir(parents=True, exist_ok=True)
    for split, per_class in (("train", args.train), ("test", args.test), ("test2", args.test)):
        path = args.run / f"{split}.npz"
        if path.exists():
            print(f"{path} exists, kept")
            continue
        render_split(split, per_class, args.size, path, args.workers)


if __name__ == "__main__":
    main()

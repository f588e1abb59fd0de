"""What a request made: pictures, how each was made, and ways to keep them."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fewstep.engine.checks import choice
from fewstep.engine.image import Images, check_scale, contact_sheet, enlarge, sheet_grid
from fewstep.engine.picture_file import check_destination, destination, encode, format_of, write_all
from fewstep.engine.timings import Timings
from fewstep.errors import InputError

LAYOUTS = ("auto", "single", "numbered", "sheet")
NUMBER = "{i}"


@dataclass(frozen=True, eq=False)
class Result:
    """images: uint8 (n, H, W, 3). seeds, labels, prompts: those of each image. steps: of each image, one number where
    they are the same. timings: milliseconds a stage.

    forced: what the model was not distilled for and was asked for all the same. cut: warnings of prompts too long.
    strength: of pictures that were changed, else None; masked: whether a part of them was kept. seeds_to, mix: of each
    image between two seeds.
    """

    images: Images
    seeds: tuple[int, ...]
    labels: tuple[dict[str, str], ...]
    steps: int | tuple[int, ...]
    model: str
    schedule: str
    timings: Timings
    unknown_words: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    guidance: float | None = None
    forced: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    strength: float | None = None
    masked: bool = False
    seeds_to: tuple[int, ...] = ()
    mix: tuple[float, ...] = ()

    def pil(self) -> list[Image.Image]:
        """The n pictures as Pillow images."""
        return [Image.fromarray(image) for image in self.images]

    def save(self, path: str | os.PathLike[str], layout: str = "auto", scale: int = 1) -> list[Path]:
        """Write PNG, JPEG or WebP by the name's suffix, enlarged `scale` times, and return the names written.

        layout: "single" writes one picture as `path`; "numbered" writes out-0001.png and so on for out.png, or puts
        0001 in the place of "{i}"; "sheet" writes all pictures as one; "auto" is "single" for one picture and a name
        without "{i}", else "numbered". Files are complete or not there: InputError, OutputError. A PNG says in its text
        chunks how it was made.
        """
        start = time.perf_counter()
        n, H, W, _ = self.images.shape
        layout, names = plan_files(path, layout, scale, n, H, W)
        pictures = contact_sheet(self.images)[None] if layout == "sheet" else self.images

        def encoded() -> Iterator[tuple[Path, bytes]]:
            for i, name in enumerate(names):
                made = range(n) if layout == "sheet" else range(i, i + 1)
                yield name, encode(enlarge(pictures[i : i + 1], scale)[0], format_of(name), self._text(made))

        write_all(encoded())
        self.timings.encode += (time.perf_counter() - start) * 1e3
        return names

    def _steps(self, i: int) -> int:
        return self.steps[i] if isinstance(self.steps, tuple) else self.steps

    def _text(self, indices: range) -> dict[str, str]:
        """How pictures were made, as PNG text chunks. Lists, of a sheet, are JSON."""
        seeds, labels = [self.seeds[i] for i in indices], [self.labels[i] for i in indices]
        more: dict[str, str] = {}
        if self.strength is not None:
            more = {"strength": f"{self.strength:g}", "masked": json.dumps(self.masked)}
        if self.mix:
            more["seed_to"] = _listed([self.seeds_to[i] for i in indices])
            more["mix"] = _listed([self.mix[i] for i in indices])
        return {
            "Software": "fewstep",
            "model": self.model,
            "schedule": self.schedule,
            "steps": _listed([self._steps(i) for i in indices]),
            "seed": str(seeds[0]) if len(seeds) == 1 else json.dumps(seeds),
            "labels": json.dumps(labels[0] if len(labels) == 1 else labels),
            **more,
        }


def plan_files(path: object, layout: object, scale: object, n: int, H: int, W: int) -> tuple[str, list[Path]]:
    """What save chooses for n pictures of (H, W), layout and names, and its errors, before they are made."""
    layout, file = choice("layout", layout, LAYOUTS), destination(path)
    if layout == "auto":
        layout = "single" if n == 1 and NUMBER not in file.name else "numbered"
    if layout == "single" and n != 1:
        raise InputError(f"layout single: expected one picture, got {n}; choose numbered or sheet")
    if layout == "sheet":
        rows, columns = sheet_grid(n, H, W)
        check_scale(1, rows * H, columns * W, scale)
    else:
        check_scale(n, H, W, scale)
    names = [numbered(file, i) for i in range(1, n + 1)] if layout == "numbered" else [file]
    for name in names:
        check_destination(name)
    return layout, names


def numbered(path: Path, i: int) -> Path:
    """The name of picture i, counted from 1."""
    number = f"{i:04d}"
    name = path.name.replace(NUMBER, number) if NUMBER in path.name else f"{path.stem}-{number}{path.suffix}"
    return path.with_name(name)


def _listed(values: Sequence[float]) -> str:
    """One number where they are the same, else all of them as JSON."""
    return str(values[0]) if len({*values}) == 1 else json.dumps(values)

"""Does every family change pictures as its pipelines of diffusers do? From the same folders, seeds and strengths.

python tests/editing_parity.py [NAME ...] [--bundles]: of all families unless some are named. Latents of the torch
backend, with --bundles of onnxruntime, are compared with those of diffusers' image-to-image and inpainting pipelines,
at every step count up to 4. Fails where an error is larger than the bound.
"""

import argparse
import importlib
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import whole_families
from whole_families import PROMPTS, Whole, whole

import fewstep
from fewstep.engine.job import Job
from fewstep.engine.pipeline import Pipeline
from fewstep.engine.request import check_request, contract_schedule
from fewstep.engine.request_start import start_of
from fewstep.errors import ContractError
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.from_checkpoint import Wanted, export_published

SEEDS = (5, 6)
STRENGTHS = (1.0, 0.75, 0.5, 0.3)
CLOSE = 5e-6  # of the largest latent
CHANGING, INPAINTING = 0, 1
PIPELINES = {  # diffusers' own, by that of text; SD3's inpainting refuses networks of fewer than 16 channels
    "StableDiffusionPipeline": ("StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"),
    "LatentConsistencyModelPipeline": ("StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"),
    "StableDiffusionXLPipeline": ("StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline"),
    "StableDiffusion3Pipeline": ("StableDiffusion3Img2ImgPipeline", ""),
    "FluxPipeline": ("FluxImg2ImgPipeline", "FluxInpaintPipeline"),
    "QwenImagePipeline": ("QwenImageImg2ImgPipeline", "QwenImageInpaintPipeline"),
    "ZImagePipeline": ("ZImageImg2ImgPipeline", "ZImageInpaintPipeline"),
    "SanaSprintPipeline": ("SanaSprintImg2ImgPipeline", ""),
}


def pictures(size: tuple[int, int]) -> tuple[list[Any], Any]:
    """One for each seed, and a mask, as Pillow has them."""
    from PIL import Image

    random = np.random.default_rng(9)
    made = [Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)) for _ in SEEDS]
    return made, Image.fromarray(random.integers(0, 256, size, dtype=np.uint8))


class Pair:
    """A family's folder behind diffusers' pipelines."""

    def __init__(self, name: str, folder: Path) -> None:
        self.told: Whole = whole(name)
        self.folder = folder
        self._text = whole_families.opened(name, folder)
        self.images, self.mask = pictures(self.told.image)

    def theirs(self, kind: int, steps: int, strength: float) -> Any:
        """Latents of their pipeline: (n, C, h, w)."""
        diffusers: Any = importlib.import_module("diffusers")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipe = getattr(diffusers, PIPELINES[self.told.pipeline][kind])(**self._parts())
            pipe.set_progress_bar_config(disable=True)
            generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
            more = {"mask_image": self.mask} if kind == INPAINTING else {}
            made = pipe(
                **self.told.call(steps), **more, image=self.images, strength=strength, generator=generators,
                output_type="latent",
            ).images  # fmt: skip
        return self.told.latents(torch.as_tensor(np.asarray(made))).numpy()

    def _parts(self) -> dict[str, Any]:
        unused = {"requires_safety_checker": False} if "StableDiffusionI" in str(PIPELINES[self.told.pipeline]) else {}
        return {**self._text.components, **unused}

    def ours(self, pipe: Pipeline, kind: int, steps: int, strength: float) -> Any:
        """Those of a loaded model."""
        request = check_request(
            pipe.manifest, list(PROMPTS), seed=list(SEEDS), steps=steps, image=self.images, strength=strength,
            mask=self.mask if kind == INPAINTING else None,
        )  # fmt: skip
        schedule = contract_schedule(pipe.manifest, steps)
        inputs, _ = pipe._inputs(request)
        backend: Any = pipe.backend
        start = start_of(request, range(len(SEEDS)), schedule, pipe.manifest, backend, "torch")
        return backend.latents(Job(SEEDS, inputs, schedule, start))

    def errors(self, pipe: Pipeline, kind: int, counts: list[int]) -> dict[tuple[int, float], float]:
        """(steps, strength) -> largest difference over largest value, where a step is left."""
        found = {}
        for steps in counts:
            for strength in STRENGTHS:
                try:
                    made = self.ours(pipe, kind, steps, strength)
                except ContractError:
                    continue
                expected = self.theirs(kind, steps, strength)
                found[steps, strength] = float(np.abs(made - expected).max() / np.abs(expected).max())
        return found


def counts(name: str) -> list[int]:
    """The legal ones up to 4, or the least."""
    steps = list(FAMILIES[name].contract.steps)
    return [N for N in steps if N <= 4] or [min(steps)]


def loaded(name: str, pair: Pair, bundle: bool) -> Pipeline:
    """The folder with PyTorch, or as a bundle."""
    published = FAMILIES[name].published
    steps = counts(name)[-1] if published is not None and published.by_count else None
    wanted: dict[str, Any] = {"family": name, "size": pair.told.image, "distilled_steps": steps}
    if not bundle:
        return fewstep.load(pair.folder, device="cpu", **wanted)
    out = pair.folder.with_name("bundle")
    export_published(pair.folder, out, Wanted(**wanted), dtype="fp32", editing=True)
    return fewstep.load(out, device="cpu")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [name for name in FAMILIES if name not in whole_families.CM_SECOND and whole(name).pipeline in PIPELINES]
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *names])
    parser.add_argument("--bundles", action="store_true")
    args = parser.parse_args()
    importlib.import_module("diffusers").utils.logging.set_verbosity_error()
    worst = 0.0
    for name in args.names or names:
        with tempfile.TemporaryDirectory() as folder:
            pair = Pair(name, whole_families.write(name, Path(folder) / name))
            pipe = loaded(name, pair, args.bundles)
            for kind in (CHANGING, INPAINTING):
                if PIPELINES[pair.told.pipeline][kind]:
                    errors = pair.errors(pipe, kind, list(pipe.manifest.schedule.steps)[:4])
                    worst = max(worst, *errors.values())
                    told = f"{pipe.backend.name} {('image', 'mask')[kind]}"
                    print(f"{name:22} {told:18} {max(errors.values()):.1e} of {len(errors)}", flush=True)
    return int(not worst <= CLOSE)


if __name__ == "__main__":
    sys.exit(main())

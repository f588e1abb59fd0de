"""From what people have on their disk to what runs: a family's networks with their weights, or a bundle of them."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from fewstep.engine.backends.torch.generation import Generation
from fewstep.engine.bundle_manifest import Contract
from fewstep.engine.reading.regular_file import open_folder, read_regular
from fewstep.errors import InputError
from fewstep.export.checkpoints.folder import read_folder
from fewstep.export.checkpoints.published import Checkpoint
from fewstep.export.detect import detect
from fewstep.export.export import Export
from fewstep.export.families.family import Family, Networks, Size
from fewstep.export.published import Source, contract_of, export_family
from fewstep.export.tokenizer import read_tokenizer

MAX_LICENSE = 1 << 20
LICENSES = ("LICENSE", "LICENSE.md", "LICENSE.txt")
MAX_NAME = 64
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Opened:
    """A checkpoint with its weights in modules of one dtype."""

    checkpoint: Checkpoint
    family: Family
    size: Size
    networks: Networks
    source: Source

    @property
    def contract(self) -> Contract:
        return contract_of(self.family, self.size, self.source)

    def generation(self, device: str, dtype: torch.dtype) -> Generation:
        prompt, denoiser, decoder = (
            make(self.networks, self.size).to(device).eval()
            for make in (self.family.prompt, self.family.denoiser, self.family.decoder)
        )
        size, name = self.size, self.family.name
        return Generation(
            name, prompt, denoiser, decoder, size.inputs, size.latent, size.image, dtype, torch.device(device)
        )


def open_family(
    path: str | os.PathLike[str],
    *,
    family: str | None = None,
    size: tuple[int, int] | None = None,
    variant: str | None = None,
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
) -> Opened:
    """family: where the files do not say it. size: of the image (H, W), by default the one it was trained at.

    Raises InputError naming the file, and what is wrong with it.
    """
    checkpoint = read_folder(path, variant)
    found = detect(checkpoint, family)
    assert found.published is not None
    roles = [role for role in found.published.networks if role in checkpoint.networks]
    measured = found.published.measure({role: checkpoint.networks[role] for role in roles}, size)
    tokenizers = {}
    for text in measured.texts:
        if text.tokenizer not in checkpoint.tokenizers:
            raise InputError(f"{checkpoint.path}: {text.tokenizer} is missing, which {found.name} needs")
        tokenizers[text.tokenizer] = read_tokenizer(checkpoint.tokenizers[text.tokenizer])
    networks = {}
    for role in roles:
        if progress is not None:
            progress(f"reading {role}")
        networks[role] = checkpoint.load(role, dtype)
    source = Source(_name(checkpoint.path, found.name), tokenizers, license=_license(checkpoint.path))
    return Opened(checkpoint, found, measured, networks, source)


def export_published(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    family: str | None = None,
    size: tuple[int, int] | None = None,
    variant: str | None = None,
    dtype: str = "fp16",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Export:
    """A published checkpoint into the bundle folder `out`; raises as open_family and export_family do."""
    opened = open_family(path, family=family, size=size, variant=variant, progress=progress)
    return export_family(
        opened.family, opened.size, opened.networks, opened.source, out, dtype=dtype, overwrite=overwrite,
        progress=progress,
    )  # fmt: skip


def _name(path: Path, family: str) -> str:
    """A bundle's name of the folder's."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", path.resolve().name.lower()).strip("-._")[:MAX_NAME]
    return plain or family


def _license(path: Path) -> bytes | None:
    with open_folder(path) as folder:
        names = [name for name in LICENSES if name in os.listdir(folder)]
        return read_regular(folder, names[0], MAX_LICENSE, hard_links=True) if names else None

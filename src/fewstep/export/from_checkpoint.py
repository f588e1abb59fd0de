"""From what people have on their disk to what runs: a family's networks with their weights, or a bundle of them."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fewstep.engine.backends.torch.generation import Generation
from fewstep.engine.bundle_manifest import Contract
from fewstep.engine.checks import flag, real, sequence, whole
from fewstep.errors import InputError
from fewstep.export.checkpoints.opening import open_checkpoint
from fewstep.export.checkpoints.published import Checkpoint
from fewstep.export.checkpoints.widened import plain
from fewstep.export.detect import detect
from fewstep.export.export import Export
from fewstep.export.families.family import Family, Networks, Size, with_instructions
from fewstep.export.families.precision import keep_wide
from fewstep.export.families.tiled import tiled
from fewstep.export.lora.fuse import fuse
from fewstep.export.lora.read_lora import read_lora
from fewstep.export.published import Source, contract_of, export_family
from fewstep.export.step_count import of_step_count
from fewstep.export.tokenizer import read_tokenizer, token_count

MAX_LICENSE = 1 << 20
LICENSES = ("LICENSE", "LICENSE.md", "LICENSE.txt")
MAX_NAME = 64
MAX_SIDE = 1 << 16
MAX_LORAS = 64
MAX_STRENGTH = 1e3
MAX_STEPS = 1000
DENOISERS = ("unet", "transformer")
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
        family, size = self.family, self.size
        prompt, denoiser, decoder, encoder = (
            make(self.networks, size).to(device).eval()
            for make in (family.prompt, family.denoiser, family.decoder, family.encoder)
        )
        where = torch.device(device)
        return Generation(
            family.name, prompt, denoiser, decoder, size.inputs, size.latent, size.image, dtype, where, encoder
        )


@dataclass(frozen=True)
class Wanted:
    """How a checkpoint is to be opened.

    family: what it was distilled for, where its files do not say; distilled_steps: and for which step count, where the
    family has other weights for each and no name of a LoRA or denoiser says it. size: of the image (H, W), by default
    the one it was trained at. variant: of a folder's weights, such as "fp16". denoiser: a single file whose UNet or
    transformer takes the place of the checkpoint's. loras: files, each with its strength. config: the folder of
    diffusers that a single file has its configurations, schedule and tokenizers from. offline: take a repository from
    the cache alone. tile: decode in tiles of so many pixels a side, for images whose decoder would not fit the memory.
    """

    family: str | None = None
    size: tuple[int, int] | None = None
    variant: str | None = None
    denoiser: str | os.PathLike[str] | None = None
    loras: tuple[tuple[str, float], ...] = ()
    config: str | os.PathLike[str] | None = None
    offline: bool = False
    distilled_steps: int | None = None
    tile: int | None = None

    def __post_init__(self) -> None:
        """Raises InputError for what cannot be: it comes from callers."""
        if self.size is not None:
            H, W = (whole("size", side, 1, MAX_SIDE) for side in _listed("size", self.size, 2, 2))
            object.__setattr__(self, "size", (H, W))
        pairs = [_listed("loras", pair, 2, 2) for pair in _listed("loras", self.loras, 0, MAX_LORAS)]
        loras = tuple((str(file), real("strength", strength, -MAX_STRENGTH, MAX_STRENGTH)) for file, strength in pairs)
        object.__setattr__(self, "loras", loras)
        flag("offline", self.offline)
        if self.distilled_steps is not None:
            whole("distilled_steps", self.distilled_steps, 1, MAX_STEPS)
        if self.tile is not None:
            whole("tile", self.tile, 1, MAX_SIDE)

    @property
    def files(self) -> tuple[str, ...]:
        """What is read beside the checkpoint."""
        beside = () if self.denoiser is None else (os.fspath(self.denoiser),)
        return (*beside, *(file for file, _ in self.loras))


def _listed(where: str, value: object, low: int, high: int) -> Sequence[Any]:
    return sequence(where, list(value) if isinstance(value, tuple) else value, low, high)


def open_family(
    path: str | os.PathLike[str],
    wanted: Wanted = Wanted(),
    *,
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
) -> Opened:
    """Raises InputError naming the file and what is wrong with it, UnknownModelError where there is none."""
    checkpoint = open_checkpoint(path, variant=wanted.variant, config=wanted.config, offline=wanted.offline)
    found = of_step_count(detect(checkpoint, wanted.family), wanted.distilled_steps, wanted.files)
    assert found.published is not None
    roles = [role for role in found.published.networks if role in checkpoint.networks]
    measured = found.published.measure({role: checkpoint.networks[role] for role in roles}, wanted.size)
    found = found if wanted.tile is None else tiled(found, measured, wanted.tile)
    tokenizers = _tokenizers(checkpoint, found, measured)
    measured = with_instructions(measured, lambda folder, text: token_count(tokenizers[folder][0], text))
    sources = _sources(checkpoint, wanted)
    networks = {}
    for role in roles:
        if progress is not None:
            progress(f"reading {role}")
        networks[role] = sources.get(role, checkpoint).load(role, dtype)
    if wanted.loras:
        for network in networks.values():
            plain(network)
    fuse(networks, [(read_lora(file, networks), strength) for file, strength in wanted.loras])
    keep_wide(networks, checkpoint.networks, dtype)
    merged = "".join(f", with {Path(file).name} at {strength:g}" for file, strength in wanted.loras)
    description = f"{found.name}, exported from a checkpoint{merged}"
    source = Source(_name(checkpoint.path, found.name), description, tokenizers, license=_license(checkpoint.path))
    return Opened(checkpoint, found, measured, networks, source)


def export_published(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    wanted: Wanted = Wanted(),
    *,
    dtype: str = "fp16",
    editing: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Export:
    """A published checkpoint into the bundle folder `out`; raises as open_family and export_family do."""
    opened = open_family(path, wanted, progress=progress)
    return export_family(
        opened.family, opened.size, opened.networks, opened.source, out, dtype=dtype, editing=editing,
        overwrite=overwrite, progress=progress,
    )  # fmt: skip


def _tokenizers(checkpoint: Checkpoint, family: Family, size: Size) -> dict[str, tuple[bytes, int]]:
    found = {}
    for name in {text.tokenizer: None for text in size.texts}:
        if name not in checkpoint.tokenizers:
            raise InputError(f"{checkpoint.path}: {name} is missing, which {family.name} needs")
        found[name] = read_tokenizer(checkpoint.tokenizers[name])
    return found


def _sources(checkpoint: Checkpoint, wanted: Wanted) -> dict[str, Checkpoint]:
    """Where networks are read that the checkpoint itself is not to give."""
    if wanted.denoiser is None:
        return {}
    other = open_checkpoint(wanted.denoiser, config=checkpoint.path)
    roles = [role for role in DENOISERS if role in other.networks]
    if len(roles) != 1 or other.networks[roles[0]] != checkpoint.networks.get(roles[0]):
        raise InputError(f"{wanted.denoiser}: expected the denoiser of {checkpoint.path} with other weights")
    return {roles[0]: other}


def _name(path: Path, family: str) -> str:
    """A bundle's name of the folder's."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", path.resolve().name.lower()).strip("-._")[:MAX_NAME]
    return plain or family


def _license(path: Path) -> bytes | None:
    """Of a folder that has one, whole in the file."""
    for name in LICENSES if path.is_dir() else ():
        if (path / name).is_file() and (path / name).stat().st_size <= MAX_LICENSE:
            return (path / name).read_bytes()
    return None

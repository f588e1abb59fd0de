"""Checkpoints as people have them on disk, of tiny networks with random weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers as untyped_diffusers
import transformers
from torch import nn

from fewstep.export.families import clip_text
from fewstep.export.families.build import randomise
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.family import Network

diffusers: Any = untyped_diffusers
CONFIGS = json.loads((Path(__file__).parent / "data" / "tiny_configs.json").read_text())
BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TINY_CLIP = {**clip_text.TINY, "hidden_size": 16, "intermediate_size": 32, "projection_dim": 8}


def tiny(name: str) -> Network:
    """A network of tests/data/tiny_configs.json."""
    return Network("diffusers", CONFIGS[name]["class"], CONFIGS[name]["config"])


def make(network: Network, seed: int) -> nn.Module:
    module = network.make()
    randomise(module, seed)
    return module


def write_sd(path: Path, **saving: Any) -> Mapping[str, nn.Module]:
    """What diffusers saves of a Stable Diffusion; saving: options of save_pretrained."""
    networks = {
        "text_encoder": make(clip_text.clip_text(TINY_CLIP), 1),
        "unet": make(tiny("sd_turbo.unet"), 2),
        "vae": make(tiny("sd.vae"), 3),
    }
    pipeline = diffusers.StableDiffusionPipeline(
        networks["vae"],
        networks["text_encoder"],
        None,
        networks["unet"],
        diffusers.EulerDiscreteScheduler(**BETAS, timestep_spacing="trailing"),
        None,
        None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(path, **saving)
    return networks


def write_sdxl(path: Path, **saving: Any) -> Mapping[str, nn.Module]:
    networks = {
        "text_encoder": make(clip_text.clip_text(TINY_CLIP), 1),
        "text_encoder_2": make(clip_text.clip_text(TINY_CLIP, projected=True), 2),
        "unet": make(tiny("sdxl_turbo.unet"), 3),
        "vae": make(tiny("sd.vae"), 4),
    }
    pipeline = diffusers.StableDiffusionXLPipeline(
        networks["vae"],
        networks["text_encoder"],
        networks["text_encoder_2"],
        None,
        None,
        networks["unet"],
        diffusers.EulerAncestralDiscreteScheduler(**BETAS, timestep_spacing="trailing"),
        add_watermarker=False,
    )
    pipeline.save_pretrained(path, **saving)
    return networks


def write_network(path: Path, role: str, network: Network, **saving: Any) -> nn.Module:
    """A folder of diffusers with one network in it."""
    module: Any = make(network, 1)
    module.save_pretrained(path / role, **saving)
    index = {"_class_name": "APipeline", "_diffusers_version": "0.42.1", role: [network.library, network.kind]}
    (path / "model_index.json").write_text(json.dumps(index))
    return module  # type: ignore[no-any-return]


def change(path: Path, **changes: Any) -> None:
    """Sets keys of a JSON file; None takes one out."""
    changed = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in changed.items() if value is not None}))


def networks() -> list[Network]:
    """Tiny ones of every class that a checkpoint may have: those of the families, and what those lack."""
    out: list[Network] = []
    for family in FAMILIES.values():
        out += [network for network in family.tiny.networks.values() if network not in out]
    kinds = {network.kind for network in out}
    out += [tiny(name) for name, entry in CONFIGS.items() if entry["class"] not in kinds]
    gemma = {"vocab_size": 99, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "head_dim": 8}
    gemma |= {"num_attention_heads": 2, "num_key_value_heads": 1, "query_pre_attn_scalar": 8}
    return out if "Gemma2Model" in kinds else [*out, Network("transformers", "Gemma2Model", gemma)]


def reference(path: Path, network: Network, **loading: Any) -> nn.Module:
    """The network as its own library loads it."""
    library: Any = {"diffusers": diffusers, "transformers": transformers}[network.library]
    module: nn.Module = getattr(library, network.kind).from_pretrained(path, **loading)
    return module

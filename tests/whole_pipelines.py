"""Folders of diffusers as save_pretrained writes them, of tiny networks with random weights, one a family."""

import json
import string
import warnings
from pathlib import Path
from typing import Any

import diffusers as untyped_diffusers
import torch
from torch import nn

diffusers: Any = untyped_diffusers

CONFIGS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "tiny_configs.json").read_text())
TOKENS, WIDTH = 16, 16
LATENT_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TRAILING = {**LATENT_BETAS, "timestep_spacing": "trailing"}


def network(name: str, **changes: Any) -> Any:
    """One of tiny_configs.json; nothing of its weights is zero."""
    torch.manual_seed(len(name))
    config = CONFIGS[name]
    made = getattr(diffusers, config["class"])(**config["config"] | changes).eval()
    return spread(made)


def spread(made: nn.Module) -> nn.Module:
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made


def clip_tokenizer(folder: Path) -> Any:
    """Of letters and one merge, with CLIP's own rules."""
    from transformers import CLIPTokenizer

    letters = string.ascii_lowercase
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>", "ca"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\n")
    return CLIPTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=TOKENS)


def clip_text(projected: bool = False, **config: Any) -> Any:
    import transformers

    torch.manual_seed(7 + projected)
    settings = {
        "hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "vocab_size": 64, "max_position_embeddings": TOKENS, "bos_token_id": 52, "eos_token_id": 53,
        "projection_dim": 8, **config,
    }  # fmt: skip
    kind: Any = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return spread(kind(transformers.CLIPTextConfig(**settings)).eval())


def scheduler(kind: str, **config: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(diffusers, kind)(**config)


def stable_diffusion(folder: Path, kind: str = "EulerDiscreteScheduler", **config: Any) -> Path:
    """SD-Turbo's, unless the scheduler is another one's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = diffusers.StableDiffusionPipeline(
            network("sd.vae"), clip_text(), clip_tokenizer(folder.with_suffix(".tokenizer")), network("sd_turbo.unet"),
            scheduler(kind, **(config or TRAILING)), None, None, None, requires_safety_checker=False,
        )  # fmt: skip
        pipe.save_pretrained(folder)
    return folder

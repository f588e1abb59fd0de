"""Every family as a folder that its pipeline of diffusers saves: tiny networks of random weights, real schedules."""

import importlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tiny_tokenizers
from torch import Tensor

from fewstep.export.families import clip_text, flux_schnell
from fewstep.export.families.build import randomise
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.family import Family, Network
from fewstep.export.families.t5_text import TINY as T5_TINY
from fewstep.export.families.t5_text import t5_text

HUB: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "hub_schedulers.json").read_text())
TOKENS = 16
PROMPTS = ("a cat", "Dog")
Told = Callable[[int], Mapping[str, Any]]
SCALES = {  # of guidance, where it is not 0
    "lcm-dreamshaper": 8.5, "lcm-lora-sdxl": 1.0, "lcm-lora-sd15": 1.0, "hyper-sdxl-cfg": 5.0, "hyper-sd15-cfg": 7.5,
}  # fmt: skip
DMD2 = {4: [999, 749, 499, 249], 1: [399]}
CM_SECOND = {  # of the two times, as scripts/launch.sh of openai/consistency_models samples each model
    "cd_imagenet64": 22,
    "ct_imagenet64": 106,
    "cd_bedroom256": 17,
    "cd_bedroom256_l2": 18,
    "ct_bedroom256": 67,
    "ct_cat256": 62,
}
# scripts/convert_dit_to_diffusers.py of diffusers
DIT_SCHEDULER = {"_class_name": "DDIMScheduler", "beta_schedule": "linear", "clip_sample": False}
# schedules.py of google-research's diffusion_distillation, as the betas of the alphas that its log SNR means
LEAST = np.arctan(np.exp(-10))
PROGRESSIVE_LEVELS = 1 / (1 + np.exp(2 * np.log(np.tan(np.linspace(LEAST, np.pi / 2 - LEAST, 1001)[1:]))))
PROGRESSIVE_SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "trained_betas": (1 - PROGRESSIVE_LEVELS / np.append(1, PROGRESSIVE_LEVELS[:-1])).tolist(),
    "timestep_spacing": "trailing",
    "clip_sample": True,
}
DECODED = "decoded"  # what the decoder is given, of pipelines that do not return latents
CM_LEVELS = {"ct_imagenet64": 201, "ct_bedroom256": 151, "ct_cat256": 151}


@dataclass(frozen=True)
class Whole:
    """pipeline: of diffusers. schedule: the published scheduler's configuration. told: what a call is given for N
    steps, beside prompts and size. image: (H, W). latents: of its output of that type, (B, C, H, W).
    """

    pipeline: str
    schedule: Mapping[str, Any]
    told: Told
    image: tuple[int, int]
    latents: Callable[[Tensor], Tensor] = lambda x: x
    output: str = "latent"

    def call(self, steps: int) -> dict[str, Any]:
        given = {"num_inference_steps": steps, **self.told(steps)}
        if self.pipeline in ("ConsistencyModelPipeline", "DDIMPipeline", "DiTPipeline"):
            return given
        return {"prompt": list(PROMPTS), "height": self.image[0], "width": self.image[1], **given}


def _unguided(steps: int) -> Mapping[str, Any]:
    return {"guidance_scale": 0.0}


# Of families that share networks: the scheduler's configuration, and what its pipeline is told.
STABLE_DIFFUSION: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "sd-turbo": ("sd-turbo", {}),
    "sdxl-turbo": ("sdxl-turbo", {}),
    "sdxl-lightning": ("sdxl-lightning", {}),
    "sdxl-lightning-1step": ("sdxl-lightning-1step-x0", {}),
    "hyper-sdxl": ("hyper-sd-nstep-lora", {}),
    "hyper-sdxl-cfg": ("hyper-sd-nstep-lora", {}),
    "hyper-sdxl-unified": ("hyper-sd-1step-unified-lora", {"eta": 1.0}),
    "hyper-sdxl-1step": ("hyper-sdxl-1step-unet", {"timesteps": [800]}),
    "tcd-sdxl": ("pcm-sdxl", {"eta": 0.3}),
    "pcm-sdxl": ("pcm-sdxl", {"eta": 0.0}),
    "dmd2-sdxl": ("dmd2-4step", {"timesteps": DMD2}),
    "lcm-lora-sdxl": ("lcm-dreamshaper-v7", {}),
    "hyper-sd15": ("hyper-sd-nstep-lora", {}),
    "hyper-sd15-cfg": ("hyper-sd-nstep-lora", {}),
    "hyper-sd15-unified": ("hyper-sd-1step-unified-lora", {"eta": 1.0}),
    "tcd-sd15": ("pcm-sdxl", {"eta": 0.3}),
    "pcm-sd15": ("pcm-sdxl", {"eta": 0.0}),
    "lcm-lora-sd15": ("lcm-dreamshaper-v7", {}),
    "lcm-dreamshaper": ("lcm-dreamshaper-v7", {}),
}


def sampling(name: str, steps: int) -> dict[str, Any]:
    """What a pipeline of Stable Diffusion hands to its scheduler for the count."""
    options = STABLE_DIFFUSION[name][1]
    return {key: value[steps] if isinstance(value, dict) else value for key, value in options.items()}


def whole(name: str) -> Whole:
    family = FAMILIES[name]
    assert family.published is not None
    (pipeline,) = family.published.pipelines
    image = family.tiny.image
    if name in STABLE_DIFFUSION:
        key = STABLE_DIFFUSION[name][0]
        scale = SCALES.get(name, 0.0)
        told: Told = lambda N: {"guidance_scale": scale, **sampling(name, N)}  # noqa: E731
        return Whole(pipeline, HUB[key]["config"], told, image)
    if name in CM_SECOND:
        config = HUB["cd_imagenet64"]["config"] | {"num_train_timesteps": CM_LEVELS.get(name, 40)}
        return Whole(pipeline, config, lambda N: _cm(name, N), image, lambda p: 2 * p - 1, "pt")
    if pipeline == "DDIMPipeline":
        kind = "v_prediction" if name.endswith("-v") else "sample"
        given = {"batch_size": len(PROMPTS), "use_clipped_model_output": True}
        config = {**PROGRESSIVE_SCHEDULER, "prediction_type": kind}
        return Whole(pipeline, config, lambda N: given, image, lambda p: 2 * p - 1, "pt")
    return {
        "PixArtAlphaPipeline": lambda: Whole(
            pipeline, HUB["pixart-lcm"]["config"],
            lambda N: {"guidance_scale": 0.0, "use_resolution_binning": False}, (16, 16),
        ),
        "SanaSprintPipeline": lambda: Whole(
            pipeline, HUB["sana-sprint"]["config"],
            lambda N: {"use_resolution_binning": False, **({} if N == 2 else {"intermediate_timesteps": None})},
            (32, 32),
        ),
        "DiTPipeline": lambda: Whole(
            pipeline, DIT_SCHEDULER, lambda N: {"class_labels": [3, 7]}, image, output=DECODED,
        ),
        "FluxPipeline": lambda: Whole(
            pipeline, HUB["flux1-schnell"]["config"], lambda N: {"max_sequence_length": flux_schnell.T5_TOKENS},
            (16, 16), lambda x: flux_schnell.unpack(x, 8, 8),
        ),
        "StableDiffusion3Pipeline": lambda: Whole(pipeline, HUB[name]["config"], _unguided, (16, 16)),
        "ZImagePipeline": lambda: Whole(pipeline, HUB[name]["config"], _unguided, (16, 16)),
        "QwenImagePipeline": lambda: Whole(
            pipeline, HUB[name]["config"], lambda N: {"true_cfg_scale": 1.0},
            (16, 16), lambda x: flux_schnell.unpack(x, 8, 8),
        ),
    }[pipeline]()  # fmt: skip


def _cm(name: str, steps: int) -> Mapping[str, Any]:
    given: dict[str, Any] = {"batch_size": len(PROMPTS)}
    if name.endswith("imagenet64"):
        given["class_labels"] = [3, 7]
    return given | ({"timesteps": [CM_SECOND[name], 0]} if steps == 2 else {})


def networks(family: Family) -> dict[str, Network]:
    """The family's tiny ones, with text encoders that know the tokenizers' pieces."""
    made = dict(family.tiny.networks)
    if family.name == "flux-schnell":
        made["text_encoder"] = clip_text.clip_text({**clip_text.TINY, "hidden_size": 16})
        made["text_encoder_2"] = t5_text(T5_TINY)
    if family.name.startswith("sana-sprint"):
        made["text_encoder"] = GEMMA2
    return {role: _worded(network) for role, network in made.items()}


GEMMA2 = Network(
    "transformers",
    "Gemma2Model",
    {
        "vocab_size": 128, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
    },
)  # fmt: skip


def _worded(network: Network) -> Network:
    more: dict[str, Any] = {}
    if network.kind.startswith("CLIP"):
        more = {"max_position_embeddings": TOKENS}
    if network.kind == "Qwen3Model":
        more = {"vocab_size": 260}
    if network.kind == "Qwen2_5_VLForConditionalGeneration":
        more = {"text_config": {**network.config["text_config"], "vocab_size": 260}}
    return Network(network.library, network.kind, {**network.config, **more})


def write(name: str, folder: Path) -> Path:
    """As save_pretrained writes it."""
    family, told = FAMILIES[name], whole(name)
    diffusers: Any = importlib.import_module("diffusers")
    parts: dict[str, Any] = {}
    for i, (role, network) in enumerate(networks(family).items()):
        parts[role] = network.make()
        randomise(parts[role], i)
        if network.library == "transformers":
            parts |= {role.replace("text_encoder", "tokenizer"): _tokenizer(network.kind, role, folder)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts["scheduler"] = getattr(diffusers, told.schedule["_class_name"]).from_config(told.schedule)
        getattr(diffusers, told.pipeline)(**parts, **_unused(told.pipeline)).save_pretrained(folder)
    return folder


def _tokenizer(kind: str, role: str, folder: Path) -> Any:
    if kind.startswith("CLIP"):
        pad = "!" if role == "text_encoder_2" else "<|endoftext|>"
        return tiny_tokenizers.clip(folder.with_name(f"{folder.name}.{role}"), TOKENS, pad)
    if kind == "T5EncoderModel":
        return tiny_tokenizers.t5(512)
    return tiny_tokenizers.gemma() if kind == "Gemma2Model" else tiny_tokenizers.qwen()


def _unused(pipeline: str) -> Mapping[str, Any]:
    if pipeline in ("StableDiffusionPipeline", "LatentConsistencyModelPipeline"):
        return {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return {"add_watermarker": False} if pipeline == "StableDiffusionXLPipeline" else {}


def opened(name: str, folder: Path) -> Any:
    """diffusers' own pipeline of the folder."""
    diffusers: Any = importlib.import_module("diffusers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = getattr(diffusers, whole(name).pipeline).from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(told: Whole, pipe: Any, steps: int, seeds: tuple[int, ...], output: str, **more: Any) -> Any:
    """Its images, each drawn from a generator of its own. more: beside what every call is told."""
    import torch

    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if output == DECODED:
            with mock.patch.object(pipe.vae, "decode", wraps=pipe.vae.decode) as decode:
                pipe(**(told.call(steps) | more), generator=generators, output_type="np")
            return decode.call_args.args[0] * pipe.vae.config.scaling_factor
        return pipe(**(told.call(steps) | more), generator=generators, output_type=output).images

"""A family of tiny random weights beside diffusers' own pipeline: the same weights, tokens, steps and noise."""

import contextlib
import importlib
import io
import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fewstep.engine.backends.torch.eager import denoise, engine_noise, to_bytes
from fewstep.engine.backends.torch.generation import Generation, check_inputs
from fewstep.engine.noise import normal
from fewstep.engine.table import Schedule
from fewstep.export.families.build import build
from fewstep.export.families.catalogue import FAMILIES

HUB: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "hub_schedulers.json").read_text())
SEEDS = (7, 2**63 + 5)
CLOSE = 5e-6  # of the largest latent; float32 levels alone, which the schedulers have, are 1e-6 off
COLUMNS = ("tau", "s_in", "a", "b", "c", "d", "e", "r", "draws", "init", "out_scale")


class Tokens:
    """A tokenizer whose i-th prompt, whose last number is i, is row i of ids and of mask."""

    def __init__(self, ids: Tensor, mask: Tensor | None = None) -> None:
        self.ids, self.mask = ids, torch.ones_like(ids) if mask is None else mask
        self.model_max_length = ids.shape[1]
        self.padding_side = "right"

    def __call__(self, prompt: str | Sequence[str], **_: object) -> Any:
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        rows = [int(re.findall(r"\d+", text)[-1]) for text in prompts]
        return Row(input_ids=self.ids[rows], attention_mask=self.mask[rows])

    def tokenize(self, prompt: str) -> list[str]:
        """None that textual inversion has added."""
        return []


class Row(dict[str, Tensor]):
    """A tokenizer's answer, read by key or by attribute."""

    def __getattr__(self, key: str) -> Tensor:
        return self[key]

    def to(self, device: object) -> "Row":
        return self


@cache
def tiny(name: str) -> Generation:
    return build(name, dtype=torch.float32)


def parts(made: Generation) -> dict[str, Any]:
    """The networks, by the names that the generation's modules give them."""
    modules = (made.prompt, made.denoiser, made.decoder)
    return {name: part for module in modules for name, part in module.named_children()}


def scheduler(key: str, **config: object) -> Any:
    """The published one, made by diffusers."""
    published = HUB[key]["config"] | config
    return getattr(importlib.import_module("diffusers"), published["_class_name"]).from_config(published)


def noise(made: Generation, step: int) -> Tensor:
    return torch.from_numpy(normal(SEEDS, step, made.latent))


def check(
    monkeypatch: pytest.MonkeyPatch,
    made: Generation,
    inputs: dict[str, Tensor],
    table: Schedule,
    pipe: Any,
    arguments: dict[str, Any],
    of_latents: Callable[[Tensor], Tensor] = lambda x: x,
    held: str = "latent",
) -> None:
    """The same latents and pictures: those of made with the table, and those of pipe with the arguments.

    of_latents: from how the pipeline holds latents, its output of that type, to (B, C, H, W).
    """
    with torch.no_grad():
        conditions = made.prompt(*check_inputs(made, inputs, len(SEEDS)))
        x = denoise(made, made.denoiser, conditions, table, engine_noise(made, SEEDS))
        pictures = to_bytes(made.decoder(x)).numpy()
        expected = of_latents(run(monkeypatch, made, pipe, arguments, len(table), held))
        shown = run(monkeypatch, made, pipe, arguments, len(table), "np")
    assert x.shape == expected.shape
    assert float((x - expected).abs().max()) <= CLOSE * float(expected.abs().max())
    assert np.abs(pictures - 255 * np.asarray(shown)).max() <= 1


def run(
    monkeypatch: pytest.MonkeyPatch, made: Generation, pipe: Any, arguments: dict[str, Any], steps: int, kind: str
) -> Any:
    """The pipeline's images, its scheduler drawing the engine's noise from step 1 on."""
    drawn = iter(range(1, steps + 1))

    def draw(shape: Sequence[int], **_: object) -> Tensor:
        return noise(made, next(drawn)).reshape(tuple(shape))

    monkeypatch.setattr(sys.modules[type(pipe.scheduler).__module__], "randn_tensor", draw, raising=False)
    pipe.set_progress_bar_config(disable=True)
    with contextlib.redirect_stderr(io.StringIO()):
        return pipe(**arguments, num_inference_steps=steps, output_type=kind).images


def contract(name: str, steps: int) -> Schedule:
    return FAMILIES[name].contract.table(steps)


def assert_same_table(got: Schedule, expected: Schedule) -> None:
    """But for the name, and for the float32 rounding of the levels in diffusers."""
    for column in COLUMNS:
        found, wanted = (np.asarray(getattr(table, column)) for table in (got, expected))
        np.testing.assert_allclose(found, wanted, rtol=CLOSE, atol=1e-9, err_msg=column)


def counts(name: str) -> list[int]:
    """The legal step counts that tests run: every one up to 4, and 8."""
    return [N for N in FAMILIES[name].contract.steps if N <= 4 or N == 8]

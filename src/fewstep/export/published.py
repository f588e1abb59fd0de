"""A family's networks into a bundle: text encoders, denoiser and decoder, each as a component."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.generation import Input
from fewstep.engine.bundle_manifest import (
    DECODER,
    DENOISER,
    ENCODE_PROMPT,
    ENCODER,
    LABELS,
    Contract,
    GuidanceSpec,
    ImageSpec,
    LabelTable,
    LatentSpec,
    License,
    ScheduleContract,
    StateSpec,
    TextSpec,
)
from fewstep.engine.checks import choice
from fewstep.export.bundle import new_bundle
from fewstep.export.component import BATCHES, Examples, Made, make_component
from fewstep.export.export import Export
from fewstep.export.families.family import Family, Networks, Size
from fewstep.export.staging.report import bundle_saving
from fewstep.export.stand_ins import release
from fewstep.export.weights import STORED

FILES = {ENCODE_PROMPT: "encode"}  # prompt.onnx is a stage of the denoiser
LICENSE = License("NOASSERTION", "LICENSE")
UNKNOWN_LICENSE = b"The licence of these weights is that of the checkpoint they were exported from.\n"
RANGE = (-1.0, 1.0)


@dataclass(frozen=True)
class Source:
    """What a bundle takes of a checkpoint beside its networks. tokenizers: tokenizer.json and the padding id by folder.

    classes: the names of a class-conditional model's labels. license: None where the checkpoint says nothing.
    """

    name: str
    description: str
    tokenizers: Mapping[str, tuple[bytes, int]]
    classes: tuple[str, ...] = ()
    license: bytes | None = None


def export_family(
    family: Family,
    size: Size,
    networks: Networks,
    source: Source,
    out: str | os.PathLike[str],
    *,
    dtype: str = "fp16",
    editing: bool = False,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Export:
    """Write the bundle folder `out` of a family's networks, one after the other; each is without weights afterwards.

    networks: float32. dtype: of large weights as stored, "fp16" or "fp32"; they are rounded to it. editing: put the
    encoder of pictures into it. Raises OutputError if `out` cannot be written, BackendError if a graph does not compute
    what its network does, InputError for weights that the dtype cannot hold.
    """
    choice("dtype", dtype, STORED)
    tell = progress or _silent
    makers = (family.prompt, family.denoiser, family.decoder, family.encoder)
    prompt, denoiser, decoder, encoder = (make(networks, size) for make in makers)
    requested = [size_inputs(size, B) for B in BATCHES]
    made: dict[str, Made] = {}
    with new_bundle(out, overwrite=overwrite) as folder:

        def export(name: str, network: nn.Module, examples: Sequence[Examples], outputs: Sequence[str]) -> None:
            tell(f"exporting {name}")
            file = FILES.get(name, name)
            made[name] = make_component(folder, name, network, examples, outputs, dtype=dtype, file=file)

        names = list(inspect.signature(denoiser.forward).parameters)[2:]
        if any(True for _ in prompt.parameters()):
            export(ENCODE_PROMPT, prompt, requested, names)
        conditions = [_conditions(prompt, names, inputs) for inputs in requested]
        release(prompt)
        first = float(family.contract.table().tau[0])
        states = [_state(size, B, first) for B in BATCHES]
        examples = [{**state, **rest} for state, rest in zip(states, conditions, strict=True)]
        export(DENOISER, OfColumn(denoiser) if LABELS in conditions[0] else denoiser, examples, ["m"])
        release(denoiser)
        if any(True for _ in decoder.parameters()):
            export(DECODER, decoder, [{"x": state["u"]} for state in states], ["pixels"])
            if editing:
                pictures = [_pictures(size, B) for B in BATCHES]
                export(ENCODER, encoder, pictures, _encoded(encoder, pictures[0]))
        for network in (decoder, encoder):
            release(network)
        tell("writing")
        for name, (data, _) in source.tokenizers.items():
            folder.write(_tokenizer_file(name), [data])
        folder.write(LICENSE.file, [source.license or UNKNOWN_LICENSE])
        components = {name: one.component for name, one in made.items()}
        bundle = folder.finish(contract_of(family, size, source), family.name, StateSpec(size.latent), components)
    worst = max(one.relative_error for one in made.values())
    return Export(bundle, dtype, worst, bundle_saving(bundle, DENOISER))


def _pictures(size: Size, B: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(B)
    return {"pixels": torch.rand(B, 3, *size.image, generator=generator) * 2 - 1}


@torch.no_grad()
def _encoded(encoder: nn.Module, pictures: Examples) -> Sequence[str]:
    """What its outputs are: x_0, or its mean and deviation."""
    return ("mean", "deviation")[: len(encoder(*pictures.values()))]


def size_inputs(size: Size, B: int) -> dict[str, Tensor]:
    """What B requests bring, drawn, the same each time; masks begin with ones, as they do."""
    generator = torch.Generator().manual_seed(B)
    inputs = {spec.name: spec.random(B, generator, torch.device("cpu")) for spec in size.inputs}
    for text in size.texts:
        if text.mask is not None:
            lengths = torch.randint(1, text.length + 1, (B, 1), generator=generator)
            inputs[text.mask] = (torch.arange(text.length) < lengths).to(torch.int64)
    return inputs


@torch.no_grad()
def _conditions(prompt: nn.Module, names: Sequence[str], inputs: Examples) -> dict[str, Tensor]:
    """What the prompt's module makes of them, by the denoiser's names; of label rows a column."""
    made = dict(zip(names, (value.contiguous() for value in prompt(*inputs.values())), strict=True))
    return {name: value[:, None] if name == LABELS else value for name, value in made.items()}


class OfColumn(nn.Module):
    """A denoiser of classes whose labels come as a column."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, u: Tensor, tau: Tensor, labels: Tensor) -> Tensor:
        """labels: (B, 1) int64."""
        m: Tensor = self.denoiser(u, tau, labels[:, 0])
        return m


def _state(size: Size, B: int, first: float) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(B)
    return {"u": torch.randn(B, *size.latent, generator=generator), "tau": first * torch.linspace(1, 0.25, B)}


def contract_of(family: Family, size: Size, source: Source) -> Contract:
    """What a bundle of them promises."""
    texts = tuple(
        TextSpec(
            tokenizer=_tokenizer_file(text.tokenizer),
            ids=text.ids,
            mask=text.mask,
            length=text.length,
            pad=source.tokenizers[text.tokenizer][1],
            template=text.template,
            lower=text.lower,
        )
        for text in size.texts
    )
    scale = size.guidance
    guidance = None if scale is None else GuidanceSpec(scale.input, scale.default, scale.low, scale.high)
    H, W = size.image
    labels = tuple(_classes(spec, source) for spec in size.inputs if spec.name == LABELS)
    told = family.contract
    schedule = ScheduleContract(told.name, told.default_steps, told.guidance, told.steps, told.guidance_range)
    return Contract(
        name=source.name,
        description=source.description,
        license=LICENSE,
        latent=LatentSpec(1.0, 0.0),
        image=ImageSpec(W, H, 3, RANGE),
        labels=labels,
        schedule=schedule,
        texts=texts,
        embedded_guidance=guidance,
    )


def _classes(spec: Input, source: Source) -> LabelTable:
    """Of a guided family the row after the last class means none."""
    assert spec.high is not None
    count = spec.high if spec.null is None else spec.null
    return LabelTable("class", source.classes or tuple(map(str, range(count))), spec.null or 0)


def _tokenizer_file(folder: str) -> str:
    return f"{folder}.json"


def _silent(what: str) -> None:
    pass

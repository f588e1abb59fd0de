"""Manifests with text, guidance, a prompt's component and a decoder: what fits together, and what is named if not."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from forged_bundle import Forgery

from fewstep.engine.reading.interface import input_names, requested
from fewstep.engine.reading.manifest_reader import parse_manifest
from fewstep.errors import InputError

Document = dict[str, Any]


def tensor(name: str, dtype: str, *shape: int) -> Document:
    return {"name": name, "dtype": dtype, "shape": ["B", *shape]}


def component(name: str, inputs: list[Document], outputs: list[Document]) -> Document:
    return {"graph": f"{name}.onnx", "weights": [], "inputs": inputs, "outputs": outputs, "stages": {}}


IDS, MASK, SCALE, ROWS = (
    tensor("ids", "int64", 7), tensor("mask", "int64", 7), tensor("guidance", "float32"), tensor("rows", "int64", 1),
)  # fmt: skip
TEXT = tensor("text", "float32", 7, 16)


def document() -> Document:
    """A latent of 2 x 4 x 4, a picture of 8 x 8."""
    made: Document = json.loads(Forgery().json())
    u, state = tensor("u", "float32", 2, 4, 4), tensor("x", "float32", 2, 4, 4)
    made["version"] = 3
    text = {"ids": "ids", "mask": "mask", "length": 7, "pad": 0, "template": "{}", "lower": False}
    made["texts"] = [{"tokenizer": "tokenizer.json", **text}]
    made["embedded_guidance"] = {"input": "guidance", "default": 8.5, "low": 1, "high": 12}
    made["state"] = {"shape": [2, 4, 4]}
    made["image"] |= {"width": 8, "height": 8}
    made["components"] = {
        "prompt": component("encode", [IDS, MASK, SCALE, ROWS], [TEXT]),
        "denoiser": component("denoiser", [u, tensor("tau", "float32"), TEXT], [tensor("m", "float32", 2, 4, 4)]),
        "decoder": component("decoder", [state], [tensor("pixels", "float32", 3, 8, 8)]),
    }
    entry = {"sha256": "0" * 64, "size": 1}
    made["files"] = dict.fromkeys(("encode.onnx", "denoiser.onnx", "decoder.onnx", "tokenizer.json", "LICENSE"), entry)
    return made


def parse(made: Document) -> Any:
    return parse_manifest(json.dumps(made).encode())


def test_what_a_request_brings() -> None:
    manifest = parse(document())
    assert input_names(manifest) == {"ids": "ids", "mask": "mask", "guidance": "guidance", "labels": "rows"}
    assert requested(manifest)["mask"] == ("int64", ("B", 7))
    assert [tensor.name for tensor in manifest.conditions] == ["text"]
    assert (manifest.texts[0].length, manifest.embedded_guidance.high) == (7, 12)
    without = document()
    del without["components"]["prompt"], without["files"]["encode.onnx"]
    without["components"]["denoiser"]["inputs"][2:] = [MASK, IDS, ROWS, SCALE]
    assert [tensor.name for tensor in parse(without).requested] == ["mask", "ids", "rows", "guidance"]


def put(*path: str | int, value: Any) -> Callable[[Document], None]:
    def change(made: Document) -> None:
        for key in path[:-1]:
            made = made[key]  # type: ignore[index]
        made[path[-1]] = value  # type: ignore[index]

    return change


INPUTS, OUTPUTS = ("components", "prompt", "inputs"), ("components", "prompt", "outputs")
DECODER, TEXTS = ("components", "decoder"), ("texts", 0)
WIDE, HALF = tensor("pixels", "float32", 3, 8, 4), tensor("x", "float32", 2, 4, 5)
STAGES = {"step": {"graph": "s.onnx", "inputs": [IDS], "outputs": [TEXT]}}
PIXELS, MEAN, STD = (tensor("pixels", "float32", 3, 8, 8), *(tensor(n, "float32", 2, 4, 4) for n in ("mean", "std")))


def encoder(inputs: list[Document], outputs: list[Document], version: int = 5) -> Callable[[Document], None]:
    def change(made: Document) -> None:
        made["version"] = version
        made["components"]["encoder"] = component("encoder", inputs, outputs)
        made["files"]["encoder.onnx"] = {"sha256": "0" * 64, "size": 1}

    return change


@pytest.mark.parametrize("outputs", [[MEAN], [MEAN, STD]], ids=len)
def test_an_encoder_of_pictures(outputs: list[Document]) -> None:
    made = document()
    encoder([PIXELS], outputs)(made)
    assert [tensor.name for tensor in parse(made).components["encoder"].outputs] == [one["name"] for one in outputs]


def without_a_decoder(made: Document) -> None:
    encoder([PIXELS], [MEAN])(made)
    del made["components"]["decoder"], made["files"]["decoder.onnx"]
    made["state"]["shape"] = [3, 8, 8]
    made["components"]["denoiser"] |= {"inputs": [PIXELS, tensor("tau", "float32"), TEXT]}
    made["components"]["denoiser"] |= {"outputs": [tensor("m", "float32", 3, 8, 8)]}


WRONG: list[tuple[Callable[[Document], None], str]] = [
    (put("version", value=2), "texts: expected to be there from version 3 on, got 'version 2'"),
    (put(*INPUTS, value=[IDS, SCALE, ROWS]), "prompt.inputs: expected mask, as texts and embedded_guidance say"),
    (put(*INPUTS, value=[IDS, MASK, SCALE]), r"prompt.inputs: expected dtypes .*'int64', \('B', 1\).*, got \[\]"),
    (put(*INPUTS, value=[IDS, MASK, SCALE, ROWS, tensor("more", "int64", 1)]), "prompt.inputs: expected dtypes"),
    (put(*INPUTS, 0, value=tensor("ids", "int64", 8)), "prompt.inputs: expected dtypes .*'B', 7.* got .*'B', 8"),
    (put(*INPUTS, 2, value=tensor("guidance", "int64")), "prompt.inputs: expected dtypes .*float32"),
    (put(*OUTPUTS, 0, value=tensor("other", "float32", 7, 16)), "expected what the denoiser takes beside x and t"),
    (put("components", "prompt", "stages", value=STAGES), "components.prompt.stages: expected none, as it runs once"),
    (put(*DECODER, "outputs", 0, value=WIDE), "components.decoder.outputs: expected dtypes and shapes"),
    (put(*DECODER, "inputs", 0, value=HALF), "components.decoder.inputs: expected dtypes and shapes"),
    (put(*DECODER, "graph", value="encode.onnx"), "components: expected names that differ, got .'encode.onnx'."),
    (put("components", "denoiser", "inputs", 1, value=tensor("tau", "int64")), "denoiser.inputs: expected dtypes"),
    (put("components", "other", value={}), "components: .* got 'other'"),
    (encoder([PIXELS], [MEAN], version=4), "components: .* got 'encoder'"),
    (encoder([PIXELS], []), "components.encoder.outputs: expected "),
    (encoder([PIXELS], [MEAN, STD, tensor("more", "float32", 2, 4, 4)]), "components.encoder.outputs: expected dtypes"),
    (encoder([PIXELS], [HALF]), "components.encoder.outputs: expected dtypes and shapes"),
    (encoder([WIDE], [MEAN]), "components.encoder.inputs: expected dtypes and shapes"),
    (without_a_decoder, "components.encoder: expected none without a decoder"),
    (put("state", "shape", value=[3, 4, 4]), "components.denoiser.inputs: expected dtypes and shapes"),
    (put(*TEXTS, "tokenizer", value="other.json"), "texts: file other.json is not listed in files"),
    (put(*TEXTS, "tokenizer", value="../tokenizer.json"), r"texts\[0\].tokenizer: expected a plain file name"),
    (put(*TEXTS, "mask", value="ids"), "texts: expected names that differ, got .'ids'."),
    (put(*TEXTS, "length", value=0), r"texts\[0\].length: expected an integer from 1"),
    (put(*TEXTS, "pad", value=-1), r"texts\[0\].pad: expected an integer from 0"),
    (
        put(*TEXTS, "template", value="no place"),
        r"template: expected a text of .* characters with \{\} once",
    ),
    (put(*TEXTS, "template", value="{}{}"), r"texts\[0\].template: expected a text"),
    (put(*TEXTS, "lower", value=1), r"texts\[0\].lower: expected True or False"),
    (put("texts", value=[{}] * 5), "texts: expected 0 to 4 values, got 5"),
    (put("embedded_guidance", "default", value=13), "embedded_guidance.default: expected a number from 1"),
    (put("embedded_guidance", "low", value=-1), "embedded_guidance.low: expected a number from 0"),
    (put("embedded_guidance", value=None), "components.prompt.inputs: expected dtypes and shapes"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_what_does_not_fit_is_named(change: Callable[[Document], None], message: str) -> None:
    made = copy.deepcopy(document())
    change(made)
    with pytest.raises(InputError, match=message):
        parse(made)

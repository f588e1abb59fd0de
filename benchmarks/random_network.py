"""A family's denoiser with random weights as an ONNX file: traced without weights, drawn as they are written."""

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from onnxscript.optimizer import optimize_ir

from fewstep.export.families.build import SPREAD, build
from fewstep.export.families.family import SizeName
from fewstep.export.graph import OPSET

DATA = "weights.bin"


def write_denoiser(family: str, size: SizeName, path: Path) -> None:
    """For one image, in float32, its weights in a file beside it."""
    generation = build(family, size, "meta", torch.float32)
    given = [torch.empty(1, *spec.shape, dtype=spec.dtype, device="meta") for spec in generation.inputs]
    inputs = (
        torch.empty(1, *generation.latent, device="meta"),
        torch.empty(1, device="meta"),
        *generation.prompt(*given),
    )
    names = ["u", "tau", *(f"condition{i}" for i in range(len(inputs) - 2))]
    logging.disable(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            generation.denoiser, inputs, dynamo=True, opset_version=OPSET, input_names=names, output_names=["m"],
            optimize=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    model = program.model
    drawn = [value for value in model.graph.initializers.values() if value.name and "." in value.name]
    for seed, value in enumerate(drawn):
        value.const_value = _random(value, seed)
    optimize_ir(model)
    ir.save(model, path, external_data=DATA)


def _random(value: ir.Value, seed: int) -> ir.LazyTensor:
    """As families.build.randomise draws them."""
    assert value.shape is not None
    shape = tuple(value.shape.numpy())
    centre = float(len(shape) == 1 and str(value.name).endswith("weight"))
    spread = SPREAD if len(shape) == 1 else int(np.prod(shape[1:])) ** -0.5

    def draw() -> ir.TensorProtocol:
        values = np.random.default_rng(seed).standard_normal(shape, np.float32)
        values *= np.float32(spread)
        values += np.float32(centre)
        return ir.Tensor(values, name=value.name)

    return ir.LazyTensor(draw, ir.DataType.FLOAT, ir.Shape(shape), name=value.name, cache=False)

"""A network with random weights as an ONNX file: traced without weights, drawn by their names as they are written."""

import logging
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fewstep.export.families.build import SPREAD, build
from fewstep.export.families.family import SizeName
from fewstep.export.graph import untidied
from fewstep.export.tidy import tidy

DRAWN = 4_194_319  # a prime, so that rows of equal weights differ


def write_denoiser(family: str, size: SizeName, path: Path) -> None:
    """A family's, for one image, in float32, its weights in a file beside it."""
    write_graph(*denoiser(family, size, images=1), path)
    write_weights(path, path)


def denoiser(family: str, size: SizeName, images: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The module in float32 and what it is called with, shapes alone."""
    generation = build(family, size, "meta", torch.float32)
    given = [torch.empty(images, *spec.shape, dtype=spec.dtype, device="meta") for spec in generation.inputs]
    exported = torch.export.export(generation.prompt, tuple(given))  # text encoders look at masks' values otherwise
    (output,) = exported.graph.find_nodes(op="output")
    conditions = [torch.empty_like(node.meta["val"], device="meta") for node in output.args[0]]
    state, time = torch.empty(images, *generation.latent, device="meta"), torch.empty(images, device="meta")
    return generation.denoiser, (state, time, *conditions)


def write_graph(network: nn.Module, inputs: Sequence[Tensor], path: Path) -> None:
    """Without weights, which open_graph draws. network, on the device meta: m of u, tau and its conditions."""
    model = graph_of(network, inputs, any_batch=False)
    for value in _drawn(model):
        assert value.shape is not None
        shape = ir.Shape(value.shape.numpy())
        value.const_value = ir.ExternalTensor("none", 0, 0, ir.DataType.FLOAT, shape=shape, name=str(value.name))
    ir.save(model, path)


def graph_of(network: nn.Module, inputs: Sequence[Tensor], *, any_batch: bool) -> ir.Model:
    """With weights that are drawn whenever they are read. any_batch: inputs are an example of two images."""
    names = ["u", "tau", *(f"condition{i}" for i in range(len(inputs) - 2))]
    model = untidied(network, dict(zip(names, inputs, strict=True)), "m", any_batch=any_batch)
    for value in _drawn(model):
        value.const_value = None
    logging.disable(logging.ERROR)
    tidy(model)
    logging.disable(logging.NOTSET)
    for value in _drawn(model):
        value.const_value = _lazy(value)
    return model


def open_graph(path: Path) -> ir.Model:
    """What write_graph wrote, with weights that are drawn anew whenever they are read."""
    model = ir.load(path)
    for value in _drawn(model):
        value.const_value = _lazy(value)
    return model


def write_weights(graph: Path, path: Path) -> None:
    """An ONNX file with its weights beside it, for those who do not know how they are drawn."""
    model = open_graph(graph)
    ir.save(model, path, external_data=path.with_suffix(".bin").name)


def random_weight(name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """float32, the same for a name wherever it is drawn; spread as families.build.randomise spreads it."""
    count = int(np.prod(shape))
    first = zlib.crc32(name.encode()) % DRAWN
    values = np.resize(np.roll(_numbers(), -first), count).reshape(shape)
    values *= np.float32(SPREAD if len(shape) == 1 else int(np.prod(shape[1:])) ** -0.5)
    values += np.float32(len(shape) == 1 and name.endswith("weight"))
    return values


@torch.no_grad()
def fill(network: nn.Module) -> None:
    """The weights that the graph of write_network has, in place."""
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        tensor.copy_(torch.from_numpy(random_weight(name, tensor.shape)))


@cache
def _numbers() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(DRAWN, np.float32)


def _drawn(model: ir.Model) -> list[ir.Value]:
    """The initializers that are parameters and buffers of the network, by their names in it."""
    return [value for value in model.graph.initializers.values() if "." in str(value.name)]


def _lazy(value: ir.Value) -> ir.LazyTensor:
    assert value.shape is not None
    name, shape = str(value.name), tuple(value.shape.numpy())

    def draw() -> ir.TensorProtocol:
        return ir.Tensor(random_weight(name, shape), name=name)

    return ir.LazyTensor(draw, ir.DataType.FLOAT, ir.Shape(shape), name=name, cache=False)

"""A PyTorch network as an ONNX graph: dynamic batch, nothing of the machine that made it, the same bytes each time."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx_ir as ir
import torch
from onnx import ModelProto
from onnxscript import opset18 as op
from torch import Tensor, nn

from fewstep.export.tidy import tidy

OPSET = 18  # newer ones have GroupNormalization, which onnxruntime inlines at every start
BATCH = "B"
MAX_BATCH = 1 << 16
PRODUCER = "fewstep"


def export_graph(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: str | Sequence[str],
    *,
    opset: int = OPSET,
    any_batch: bool = True,
) -> ModelProto:
    """As trace, with all weights in it: at most 2 GB."""
    return plain(trace(network, inputs, outputs, opset=opset, any_batch=any_batch))


def trace(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: str | Sequence[str],
    *,
    opset: int = OPSET,
    any_batch: bool = True,
) -> ir.Model:
    """The network called with `inputs` by position, each (B, ...) with B >= 2 as an example of any B.

    outputs: the name of its one output, or the names of several. any_batch: else B stays what it is. Its weights are
    the network's own, not copied.
    """
    model = untidied(network, inputs, outputs, opset=opset, any_batch=any_batch)
    tidy(model)
    return model


def untidied(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: str | Sequence[str],
    *,
    opset: int = OPSET,
    any_batch: bool = True,
) -> ir.Model:
    """As trace, with what tracing leaves behind; no weight is read, so they may be of the device meta."""
    B = torch.export.Dim(BATCH, min=1, max=MAX_BATCH)
    with _quiet(), torch.no_grad(), _one_batch(network):
        program = torch.onnx.export(
            network.eval(),
            tuple(inputs.values()),
            dynamo=True,
            opset_version=opset,
            input_names=list(inputs),
            output_names=[outputs] if isinstance(outputs, str) else list(outputs),
            dynamic_shapes=tuple({0: B} for _ in inputs) if any_batch else None,
            custom_translation_table={torch.ops.aten.squeeze.dim: _squeeze},
            optimize=False,
            verbose=False,
        )
        assert program is not None
    return program.model


def plain(model: ir.Model) -> ModelProto:
    """As a message, without what tells of the machine."""
    made = ModelProto()
    made.CopyFrom(ir.to_proto(model))
    _anonymize(made)
    return made


def _squeeze(x: Any, dim: int) -> Any:
    """An axis that is not 1 stays, as in PyTorch; the exporter's own translation is a Squeeze that no runtime takes."""
    axes: Any = [dim]
    return op.Squeeze(x, axes) if x.shape and x.shape[dim] == 1 else op.Identity(x)


def _anonymize(model: ModelProto) -> None:
    """Drops source paths, stack traces and inferred shapes; onnxruntime infers those again."""
    model.producer_name, model.producer_version, model.doc_string = PRODUCER, "", ""
    graph = model.graph
    del graph.value_info[:]
    del model.metadata_props[:], graph.metadata_props[:]
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]


@contextlib.contextmanager
def _one_batch(network: nn.Module) -> Iterator[None]:
    """Tells the tracer that B is the same in every input, which it otherwise learns only where two of them meet."""

    def check(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        for value in inputs[1:]:
            torch._check(value.shape[0] == inputs[0].shape[0])

    hook = network.register_forward_pre_hook(check)
    try:
        yield
    finally:
        hook.remove()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of torchvision, axis names, deprecations and what it does not fold; errors are raised."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

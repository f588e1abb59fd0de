"""A PyTorch network as an ONNX graph: dynamic batch, nothing of the machine that made it, the same bytes each time."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping

import torch
from onnx import ModelProto
from torch import Tensor, nn

OPSET = 18  # newer ones have GroupNormalization, which onnxruntime inlines at every start
BATCH = "B"
MAX_BATCH = 1 << 16
PRODUCER = "fewstep"


def export_graph(network: nn.Module, inputs: Mapping[str, Tensor], output: str) -> ModelProto:
    """The network called with `inputs` by position, each (B, ...) with B >= 2 as an example of any B."""
    B = torch.export.Dim(BATCH, min=1, max=MAX_BATCH)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            network.eval(),
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=tuple({0: B} for _ in inputs),
            verbose=False,
        )
    assert program is not None
    model = ModelProto()
    model.CopyFrom(program.model_proto)
    _anonymize(model)
    return model


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
def _quiet() -> Iterator[None]:
    """The exporter tells of torchvision, axis names and its own deprecations; its errors come as exceptions."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

"""A bundle's component as a graph whose weights are the very bytes that were checked."""

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir

from fewstep.engine.bundle import Bundle

_NUMPY = {ir.DataType.BFLOAT16: np.dtype(ml_dtypes.bfloat16)}


def open_component(bundle: Bundle, name: str, stage: str | None = None) -> ir.Model:
    """A component, or one stage of it. Nothing is read from the disk and no weight is copied."""
    graph, weights = bundle.session_inputs(name, stage)
    model = ir.from_proto(onnx.load_from_string(graph))
    data = dict(weights)
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        assert tensor.length is not None
        dtype = _NUMPY.get(tensor.dtype) or tensor.dtype.numpy()
        count = tensor.length // dtype.itemsize
        shape = tuple(tensor.shape.numpy())
        values = np.frombuffer(data[str(tensor.location)], dtype, count, tensor.offset or 0).reshape(shape)
        value.const_value = ir.Tensor(values, tensor.dtype, name=value.name)
    return model

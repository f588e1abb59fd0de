"""Constants that are computed while compiling."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from fewstep.errors import LoweringError
from fewstep.export.lower.tape import shape_of

GROWTH = 1 << 20  # elements that a constant may add to those it is computed from
FLOATS = {ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE}
RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}

Tensors = Sequence[ir.TensorProtocol | None]


def is_worth_it(node: ir.Node, inputs: Tensors) -> bool:
    """Whether its result may be stored: it is not drawn, and not much larger than what it is computed from."""
    given = sum(tensor.size for tensor in inputs if tensor is not None)
    made = sum(prod(shape_of(value)) for value in node.outputs)
    return node.op_type not in RANDOM and made <= given + GROWTH


def evaluate(node: ir.Node, inputs: Tensors, opsets: Mapping[str, int]) -> list[ir.TensorProtocol]:
    proto = ir.serde.serialize_node(node)
    names = [name for name in dict.fromkeys(proto.input) if name]
    feeds = {name: tensor.numpy() for name, tensor in zip(proto.input, inputs, strict=True) if tensor is not None}
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in names]
    outputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in proto.output]
    graph = onnx.helper.make_graph([proto], "constant", values, outputs)
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=imports)).run(None, feeds)
    except (NotImplementedError, RuntimeError, ValueError, TypeError) as error:
        raise LoweringError.of(node, f"its constant cannot be computed ({str(error).splitlines()[0]})") from error
    return [ir.tensor(np.asarray(result)) for result in results]


def lazy_cast(tensor: ir.TensorProtocol, dtype: ir.DataType) -> ir.TensorProtocol:
    """Computed whenever it is read, so that a large weight is in memory only while it is written."""
    if tensor.dtype == dtype:
        return tensor
    shape = ir.Shape(tensor.shape.numpy())
    return ir.LazyTensor(lambda: ir.tensor(tensor.numpy().astype(dtype.numpy())), dtype, shape, name=tensor.name)

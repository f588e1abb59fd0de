"""What a fused graph may hold."""

import onnx_ir as ir

from fewstep.errors import LoweringError
from fewstep.export.lower.tape import FUSED

OPERATIONS = {"conv2d", "matmul", "group_norm", "layer_norm", "rms_norm", "attention", "softmax", "reduce", "gather"}
CURVES = {"silu", "gelu", "gelu_tanh", "rsqrt"}
VIEWS = {"Reshape", "Transpose", "Slice", "Split", "Squeeze", "Unsqueeze", "Expand", "Concat", "Identity"}
ARITHMETIC = {"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Mod", "Neg", "Abs", "Sqrt", "Reciprocal", "Exp", "Log"}
FUNCTIONS = {"Sin", "Cos", "Tanh", "Erf", "Sigmoid", "Relu", "Floor", "Ceil", "Round", "Sign", "Cast"}
LOGIC = {"Not", "Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Where"}


def check_fused(graph: ir.Graph) -> None:
    """Raises LoweringError unless every operation is one of these and every shape is known."""
    for node in graph:
        known = OPERATIONS | CURVES if node.domain == FUSED else VIEWS | ARITHMETIC | FUNCTIONS | LOGIC
        if node.op_type not in known or node.domain not in ("", FUSED):
            raise LoweringError.of(node, "no plan has it")
        for value in node.outputs:
            if value.dtype is None or value.shape is None or not all(isinstance(size, int) for size in value.shape):
                raise LoweringError.of(node, f"the shape of {value.name} is not known: {value.shape}")

"""Small graphs for tests, written as ONNX prints them, with numbers where an operation reads a constant."""

import re
from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

TYPES = {"f": TensorProto.FLOAT, "h": TensorProto.FLOAT16, "i": TensorProto.INT64, "b": TensorProto.BOOL}
CONSTANT = re.compile(r"\[[-\d, ]*\]|-?\d+(?:\.\d*)?(?:e-?\d+)?")
Shape = tuple[int | str, ...]


def graph(
    body: str, inputs: Mapping[str, Shape], weights: Mapping[str, tuple[int, ...]] | None = None, opset: int = 18
) -> ir.Model:
    """Of lines `name = Operation <attributes> (operands)`, the last of which names the output.

    An operand may be a number with a point or an exponent (float32), one without (int64) or a list (int64).
    inputs: float32, or of the type before a colon in the name, one of TYPES. weights: normal numbers of these shapes.
    """
    constants: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}

    def named(match: re.Match[str]) -> str:
        text = match.group()
        name = f"constant{len(constants)}"
        if text[0] == "[":
            constants[name] = np.array([int(number) for number in re.findall(r"-?\d+", text)], np.int64)
        else:
            is_float = "." in text or "e" in text
            constants[name] = np.array(float(text), np.float32) if is_float else np.array(int(text), np.int64)
        return name

    lines = []
    for line in filter(None, map(str.strip, body.splitlines())):
        head, _, operands = line.rpartition("(")
        replaced = ",".join(
            CONSTANT.sub(named, part) if CONSTANT.fullmatch(part.strip()) else part
            for part in _parts(operands.rstrip(")"))
        )
        lines.append(f"{head}({replaced})")
    outputs = lines[-1].split("=")[0].strip()
    parsed = onnx.parser.parse_graph(f"g () => (float {outputs}) {{ {chr(10).join(lines)} }}")
    parsed.output[0].ClearField("type")
    for name, shape in inputs.items():
        kind, _, plain = name.rpartition(":")
        parsed.input.append(helper.make_tensor_value_info(plain, TYPES[kind or "f"], shape))
    rng = np.random.default_rng(0)
    drawn = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in (weights or {}).items()}
    parsed.initializer.extend(numpy_helper.from_array(value, name) for name, value in (constants | drawn).items())
    model = helper.make_model(parsed, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return ir.from_proto(model)


def _parts(operands: str) -> list[str]:
    """Between commas that are in no list."""
    return re.split(r",(?![^\[]*\])", operands)

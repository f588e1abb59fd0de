"""Graphs whose weights became inputs: the same graph, and nothing else of it moved."""

import onnx
import pytest
from forged_bundle import GRAPH, external, model
from onnx import AttributeProto, NodeProto, helper

from fewstep.engine.reading.weight_inputs import weight_inputs
from fewstep.errors import InputError


def test_weights_are_the_last_inputs() -> None:
    before = model()
    data, places = weight_inputs(before.SerializeToString(), GRAPH)
    after = onnx.load_from_string(data)
    onnx.checker.check_model(after)
    assert [place.name for place in places] == ["weight"]
    assert after.graph.input[-1] == helper.make_tensor_value_info("weight", onnx.TensorProto.FLOAT16, [4, 4])
    assert [one.name for one in after.graph.initializer] == ["column", "zero"]
    after.graph.initializer.insert(0, external())
    del after.graph.input[-1]
    assert after == before


def test_long_names_and_sizes_are_whole() -> None:
    before = model()
    weight = before.graph.initializer[0]
    weight.name, weight.dims[:] = "w" * 300, [1 << 40, 129]
    after = onnx.load_from_string(weight_inputs(before.SerializeToString(), GRAPH)[0])
    dims = after.graph.input[-1].type.tensor_type.shape.dim
    assert after.graph.input[-1].name == "w" * 300 and [dim.dim_value for dim in dims] == [1 << 40, 129]


def test_a_weight_of_no_axes_has_a_shape() -> None:
    before = model()
    before.graph.initializer[0].dims[:] = []
    after = onnx.load_from_string(weight_inputs(before.SerializeToString(), GRAPH)[0])
    assert after.graph.input[-1].type.tensor_type.HasField("shape")


def test_a_weight_within_an_operator_is_refused() -> None:
    bent = model()
    bent.graph.node.append(NodeProto(op_type="Constant", output=["more"]))
    bent.graph.node[-1].attribute.append(AttributeProto(name="value", type=AttributeProto.TENSOR, t=external("other")))
    with pytest.raises(InputError, match="expected weights as initializers of the graph, each once, got others"):
        weight_inputs(bent.SerializeToString(), GRAPH)


def test_a_weight_that_is_there_twice_is_refused() -> None:
    bent = model()
    bent.graph.initializer.append(external())
    with pytest.raises(InputError, match="each once"):
        weight_inputs(bent.SerializeToString(), GRAPH)

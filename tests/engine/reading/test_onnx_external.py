"""Graphs that hide their external tensors, or are no graphs, against the onnx package's own view of them."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forged_bundle import GRAPH, WEIGHTS, Forgery, external, model, weights
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, FunctionProto, ModelProto, SparseTensorProto, TensorProto, TrainingInfoProto, helper

from fewstep.engine.bundle import Bundle
from fewstep.engine.reading.onnx_graph import read_graph
from fewstep.errors import BundleError, InputError

BYTES = model().SerializeToString()


def tensors(message: Message) -> Iterator[TensorProto]:
    """Every TensorProto anywhere in a message, found by reflection."""
    if isinstance(message, TensorProto):
        yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from tensors(part)


def places(message: Message) -> list[tuple[str, int, int]]:
    found = []
    for tensor in tensors(message):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            entry = {pair.key: pair.value for pair in tensor.external_data}
            found.append((entry["location"], int(entry["offset"]), int(entry["length"])))
    return sorted(found)


def refused(tmp_path: Path, change: Callable[[ModelProto], object], match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        Bundle.open(Forgery().graph(change).write(tmp_path))
    assert "\n" not in str(caught.value)


def test_the_graph_that_tests_change_is_legal(tmp_path: Path) -> None:
    assert Bundle.open(Forgery().write(tmp_path)).manifest.name == "forged"
    assert [(e.location, e.offset, e.length) for e in read_graph(BYTES, "g").external] == places(model())


def replaced(**place: object) -> Callable[[ModelProto], object]:
    return lambda forged: forged.graph.initializer[0].CopyFrom(external(**place))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "location",
    ["", "../outside", "/etc/passwd", "LICENSE", "denoiser.onnx", "./denoiser.safetensors", "*/_ORT_MEM_ADDR_/*"],
)
def test_a_foreign_location_is_refused(tmp_path: Path, location: str) -> None:
    refused(
        tmp_path, replaced(location=location), r"denoiser\.onnx: weight 'weight': expected a place in denoiser\.safe"
    )


@pytest.mark.parametrize(
    "place",
    [{"offset": 0}, {"offset": 10**12}, {"length": 8}, {"length": 10**15}],
    ids=str,
)
def test_a_place_that_is_no_tensor_is_refused(tmp_path: Path, place: dict[str, object]) -> None:
    refused(tmp_path, replaced(**place), "weight 'weight'")


@pytest.mark.parametrize(
    "place",
    [{"offset": -8}, {"offset": "0x10"}, {"offset": " 8"}, {"length": ""}, {"length": None}, {"location": None},
     {"offset": 2**63}, {"offset": 10**40}, {"checksum": "0"}],
    ids=str,
)  # fmt: skip
def test_a_place_that_is_not_plainly_written_is_refused(tmp_path: Path, place: dict[str, object]) -> None:
    refused(tmp_path, replaced(**place), "external tensor 'weight' needs one location, offset and length")


def test_a_second_location_is_refused(tmp_path: Path) -> None:
    def change(forged: ModelProto) -> None:
        forged.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")

    refused(tmp_path, change, "tensor 'weight' has two places")


@pytest.mark.parametrize(
    ("data_type", "dims"),
    [(TensorProto.FLOAT, (4, 4)), (TensorProto.STRING, (4, 4)), (TensorProto.FLOAT16, (8, 2)),
     (TensorProto.FLOAT16, (-4, -4)), (2**31 - 1, (4, 4))],
)  # fmt: skip
def test_a_tensor_of_another_type_is_refused(tmp_path: Path, data_type: int, dims: tuple[int, ...]) -> None:
    def change(forged: ModelProto) -> None:
        tensor = forged.graph.initializer[0]
        tensor.data_type, tensor.dims[:] = data_type, dims

    refused(tmp_path, change, "weight 'weight'")


def outside() -> TensorProto:
    return external("weight", location="/etc/passwd")


def constant(tensor: TensorProto) -> AttributeProto:
    return AttributeProto(name="value", type=AttributeProto.TENSOR, t=tensor)


def sparse() -> SparseTensorProto:
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    return SparseTensorProto(values=outside(), indices=indices, dims=[4])


def in_a_branch(forged: ModelProto) -> None:
    branch = helper.make_graph([], "branch", [], [], [outside()])
    forged.graph.node.append(helper.make_node("If", ["c"], ["o"], then_branch=branch, else_branch=branch))


def in_a_list_of_graphs(forged: ModelProto) -> None:
    branch = helper.make_graph([], "branch", [], [], [outside()])
    forged.graph.node[0].attribute.append(AttributeProto(name="g", type=AttributeProto.GRAPHS, graphs=[branch]))


def in_a_function(forged: ModelProto) -> None:
    node = helper.make_node("Constant", [], ["o"])
    node.attribute.append(constant(outside()))
    forged.functions.append(FunctionProto(name="f", domain="d", node=[node]))


def in_a_function_s_default(forged: ModelProto) -> None:
    forged.functions.append(FunctionProto(name="f", domain="d", attribute_proto=[constant(outside())]))


def in_training(forged: ModelProto) -> None:
    graph = helper.make_graph([], "t", [], [], [outside()])
    forged.training_info.append(TrainingInfoProto(initialization=graph))


HIDING_PLACES: list[Callable[[ModelProto], object]] = [
    lambda forged: forged.graph.initializer.append(outside()),
    lambda forged: forged.graph.node[0].attribute.append(constant(outside())),
    lambda forged: forged.graph.node[0].attribute.append(AttributeProto(name="l", tensors=[outside()])),
    lambda forged: forged.graph.node[0].attribute.append(AttributeProto(name="s", sparse_tensor=sparse())),
    lambda forged: forged.graph.node[0].attribute.append(AttributeProto(name="s", sparse_tensors=[sparse()])),
    lambda forged: forged.graph.sparse_initializer.append(sparse()),
    in_a_branch,
    in_a_list_of_graphs,
    in_a_function,
    in_a_function_s_default,
    in_training,
]


@pytest.mark.parametrize("hide", HIDING_PLACES)
def test_no_place_hides_an_external_tensor(tmp_path: Path, hide: Callable[[ModelProto], object]) -> None:
    refused(tmp_path, hide, "weight 'weight': expected a place in .*, got '/etc/passwd'")


def field_of(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field of fewer than 2^14 bytes."""
    return bytes([number << 3 | 2, len(data) & 0x7F | 0x80, len(data) >> 7]) + data


def test_a_tensor_in_two_halves_is_refused(tmp_path: Path) -> None:
    """Protobuf merges them: one half says that the data is elsewhere, the other says where."""
    whole = outside()
    where, that = TensorProto(external_data=whole.external_data), TensorProto()
    that.CopyFrom(whole)
    del that.external_data[:]
    halves = field_of(5, that.SerializeToString()) + field_of(5, where.SerializeToString())
    attribute = AttributeProto(name="value", type=AttributeProto.TENSOR).SerializeToString() + halves
    data = BYTES + field_of(7, field_of(1, field_of(5, attribute)))
    assert ("/etc/passwd", 40, 32) in [(p[0], 40, 32) for p in places(ModelProto.FromString(data))]
    forgery = Forgery()
    forgery.files[GRAPH] = data
    with pytest.raises(BundleError, match=r"denoiser\.onnx: not a whole ONNX model"):
        Bundle.open(forgery.write(tmp_path))


def test_a_message_given_twice_is_refused() -> None:
    """Protobuf would merge the two graphs."""
    with pytest.raises(InputError, match="field 7 of a model is malformed or given twice"):
        read_graph(BYTES + BYTES, "g")


def test_a_tag_that_overflows_is_refused() -> None:
    """Cut to 32 bits it is the graph's; as a 35-bit number it is some unknown field's, which is skipped."""
    at = len(ModelProto(ir_version=model().ir_version).SerializeToString())
    assert BYTES[at] == 7 << 3 | 2
    with pytest.raises(InputError, match=f"malformed at byte {at + len(BYTES)} of"):
        read_graph(BYTES + BYTES[:at] + b"\xba\x80\x80\x80\x70" + BYTES[at + 1 :], "g")


def test_a_graph_cut_anywhere_is_refused() -> None:
    for cut in range(len(BYTES)):
        with pytest.raises(InputError, match="cut: not a whole ONNX"):
            read_graph(BYTES[:cut], "cut")


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="g: not a whole ONNX"):
        read_graph(data, "g")


@given(st.integers(0, len(BYTES) - 1), st.integers(0, 255), st.integers(0, 2))
def test_what_is_read_is_what_onnx_reads(at: int, byte: int, length: int) -> None:
    """One byte is overwritten, cut out or doubled. What protobuf refuses, onnxruntime will."""
    data = BYTES[:at] + bytes([byte]) * length + BYTES[at + 1 :]
    with contextlib.suppress(InputError, DecodeError):
        graph, theirs = read_graph(data, "g"), ModelProto.FromString(data)
        assert sorted((e.location, e.offset, e.length) for e in graph.external) == places(theirs)


def deep(levels: int) -> ModelProto:
    graph = helper.make_graph([], "leaf", [], [], [])
    for _ in range(levels):
        graph = helper.make_graph([helper.make_node("If", ["c"], ["o"], then_branch=graph)], "g", [], [])
    forged = model()
    forged.graph.node.extend(graph.node)
    return forged


def test_deep_graphs_are_refused() -> None:
    assert read_graph(deep(5).SerializeToString(), "g").outputs == ["F"]
    with pytest.raises(InputError, match="nested deeper than 32"):
        read_graph(deep(12).SerializeToString(), "g")


@pytest.mark.parametrize(
    "data",
    [b"\x0a\x00" * 4_000_000, b"\x08\x01" * 4_000_000, b"\x3a\xfe\xff\xff\x03" + b"\x0a\x00" * 4_194_303],
    ids=["empty fields", "numbers", "nodes"],
)
def test_a_graph_of_millions_of_fields_takes_bounded_time(data: bytes) -> None:
    start = time.process_time()
    with pytest.raises(InputError, match="more fields than fewstep reads"):
        read_graph(data, "g")
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda m: m.ClearField("graph"), "it has no graph with outputs"),
        (lambda m: m.graph.output.pop(), "it has no graph with outputs"),
        (
            lambda m: m.graph.input.pop(),
            r"inputs: expected \['x', 't', 'labels'\], as bundle.json says, got \['x', 't'\]",
        ),
        (lambda m: m.graph.output.add(name="G"), r"outputs: expected \['F'\]"),
        (lambda m: m.graph.node.add(op_type="EPContext"), "an EPContext operator opens a file of its own"),
    ],
    ids=["no graph", "no output", "no input", "another output", "EPContext"],
)
def test_another_graph_than_the_manifest_s_is_refused(
    tmp_path: Path, change: Callable[[ModelProto], object], match: str
) -> None:
    refused(tmp_path, change, match)


def test_onnxruntime_s_own_format_is_refused(tmp_path: Path) -> None:
    forgery = Forgery()
    forgery.files[GRAPH] = BYTES[:4] + b"ORTM" + BYTES[8:]
    with pytest.raises(BundleError, match="got onnxruntime's own format"):
        Bundle.open(forgery.write(tmp_path))


def test_weights_of_a_component_without_weights_are_refused(tmp_path: Path) -> None:
    forgery = Forgery()
    forgery.manifest["components"]["denoiser"]["weights"] = []
    with pytest.raises(BundleError, match="expected a place in no file, as the component lists none"):
        Bundle.open(forgery.write(tmp_path))


def test_a_graph_may_take_any_of_its_tensors(tmp_path: Path) -> None:
    folder = Forgery().graph(lambda m: m.graph.initializer.append(external("other"))).write(tmp_path)
    assert Bundle.open(folder).files[WEIGHTS] == weights()

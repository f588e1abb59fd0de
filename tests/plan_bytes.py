"""Plans written without the writer, so that tests can make what it never would."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CODES = {"float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "uint8": "U8"}
TYPES = {"F32": "f32", "F16": "f16", "I64": "i64", "I32": "i32", "U8": "u8"}
SIZES = {"f32": 4, "f16": 2, "bf16": 2, "i64": 8, "i32": 4, "u8": 1}

Document = dict[str, Any]
Tensors = dict[str, NDArray[Any]]


def container(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A safetensors file of any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def plan_bytes(document: Document, tensors: Tensors) -> bytes:
    """The file of a program, whose digests are added unless it has some."""
    digests = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in tensors.items()}
    text = json.dumps({"digests": digests, **document})
    header: dict[str, Any] = {"__metadata__": {"fewstep.plan": text}}
    data = b""
    for name in sorted(tensors, key=lambda name: -tensors[name].itemsize):
        array = tensors[name]
        header[name] = {
            "dtype": CODES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": [len(data), len(data) + array.nbytes],
        }
        data += array.tobytes()
    return container(header, data)


class Draft:
    """A plan while it is built: each value that is not a weight lies in a buffer of its own unless it is a view."""

    def __init__(self, **target: Any) -> None:
        self.target = target or {"device": "cpu"}
        self.values: list[dict[str, Any]] = []
        self.buffers: list[list[int]] = []
        self.tensors: Tensors = {}
        self.inputs: dict[str, int] = {}
        self.outputs: dict[str, int] = {}
        self.schedule: dict[str, Any] | None = None
        self.adapters: dict[str, Any] | None = None
        self.stages: list[dict[str, Any]] = [{"name": "network", "steps": 0, "ops": []}]

    def value(self, type: str, *sizes: int, **other: Any) -> int:
        """A new value, by default of a new buffer that it fills; other: keys of its own."""
        fields = {"type": type, "shape": sizes, "strides": strides(sizes), "offset": 0, **other}
        if "buffer" not in fields and "weight" not in fields:
            self.buffers.append([self.arena(), math.prod(sizes) * SIZES[type]])
            fields["buffer"] = len(self.buffers) - 1
        self.values.append(fields)
        return len(self.values) - 1

    def weight(self, name: str, array: NDArray[Any], **other: Any) -> int:
        self.tensors[name] = array
        return self.value(TYPES[CODES[array.dtype.name]], *array.shape, weight=name, **other)

    def given(self, type: str, *shape: int) -> int:
        """A value that the caller gives."""
        value = self.value(type, *shape)
        self.inputs[f"input{value}"] = value
        return value

    def stage(self, name: str, steps: int = 0) -> None:
        self.stages.append({"name": name, "steps": steps, "ops": []})

    def op(self, kind: str, inputs: Sequence[int | None], outputs: Sequence[int], /, **attributes: Any) -> None:
        op = {"op": kind, "name": f"a {kind}", "inputs": inputs, "outputs": outputs, "attributes": attributes}
        self.stages[-1]["ops"].append(op)

    def arena(self) -> int:
        """Its bytes, as large as the buffers need."""
        return max((64 * -(-(offset + size) // 64) for offset, size in self.buffers), default=0)

    def document(self) -> Document:
        model: dict[str, Any] = {"name": "tiny", "family": "test", "bundle": ""}
        out: Document = {
            "format": "fewstep-plan", "version": 1, "made_by": "a test", "target": self.target, "precision": "float32",
            "batch": 1, "arena": self.arena(),
            "buffers": self.buffers, "values": self.values, "inputs": self.inputs, "outputs": self.outputs,
            "stages": self.stages, "passes": [],
        }  # fmt: skip
        if self.schedule is not None:
            out["schedule"] = self.schedule
            model["manifest"] = {}
        if self.adapters is not None:
            out["adapters"] = self.adapters
        out["model"] = model
        return json.loads(json.dumps(out))  # type: ignore[no-any-return]

    def bytes(self) -> bytes:
        return plan_bytes(self.document(), self.tensors)


def strides(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def network() -> Draft:
    """y = x w + 1 of (2, 3), then its softmax."""
    draft = Draft()
    x, w = draft.given("f32", 2, 3), draft.weight("w", np.ones(3, np.float32), shape=(2, 3), strides=(0, 1))
    between, y = draft.value("f32", 2, 3), draft.value("f32", 2, 3)
    draft.op("map", [x, w], [between], code=[["mul", 0, 1], ["const", 1], ["add", 2, 3]])
    draft.op("softmax", [between], [y])
    draft.outputs = {"y": y}
    return draft


def generation() -> Draft:
    """Every stage there is, for 1 and 2 steps: m = u + table of the times, plus what modulation made of it."""
    draft = Draft()
    rows, shape = 3, (1, 3, 2, 2)
    names = {"tau": (rows,), "coefficients": (rows, 9), "scales": (rows, 2)}
    values = {name: draft.value("f32", *of) for name, of in names.items()}
    for name, of in names.items():
        draft.tensors[name] = np.ones(of, np.float32)
    draft.schedule = {
        "counts": {"1": 0, "2": 1}, "rows": rows,
        **{name: {"value": value, "tensor": name} for name, value in values.items()},
    }  # fmt: skip
    buffers = {name: draft.values[value]["buffer"] for name, value in values.items()}
    seeds, table = draft.value("i64", 1), draft.value("f32", rows)
    draft.inputs = {"seeds": seeds}
    modulated = draft.value("f32", 2)
    x, u, m, history = (draft.value("f32", *shape) for _ in range(4))
    flag, images = draft.value("i32", 1), draft.value("u8", 1, 2, 2, 3)
    everywhere = {"shape": shape, "strides": (0, 0, 0, 0)}
    at_row = draft.value("f32", **everywhere, buffer=draft.values[table]["buffer"], row=1)
    at_step = draft.value("f32", **everywhere, buffer=draft.values[modulated]["buffer"], step=1)
    scales = draft.value("f32", 2, buffer=buffers["scales"], row=2)
    row = draft.value("f32", 9, buffer=buffers["coefficients"], row=9)

    draft.stages = []
    draft.stage("tables")
    draft.op("map", [values["tau"]], [table], code=[["sin", 0]])
    for steps, first in ((1, 0), (2, 1)):
        draft.stage("modulation", steps)
        part = {"shape": (steps,), "strides": (1,)}
        moved = draft.value("f32", **part, buffer=draft.values[table]["buffer"], offset=first)
        draft.op(
            "map", [moved], [draft.value("f32", **part, buffer=draft.values[modulated]["buffer"])], code=[["exp", 0]]
        )
    draft.stage("start")
    draft.op("initial_state", [seeds, scales], [x, u])
    draft.op("map", [], [flag], code=[["const", 0]])
    draft.stage("step")
    brief = draft.value("f32", *shape)
    draft.op("map", [u, at_row, at_step], [brief], code=[["add", 0, 1], ["mul", 3, 2]])
    draft.op("map", [brief], [m], code=[["neg", 0]])
    draft.op("sampler_step", [x, m, row, seeds, None, history], [x, u, flag, history])
    draft.stage("finish")
    draft.op("to_uint8", [u], [images], scale=1, shift=0.0)
    draft.outputs = {"images": images, "flag": flag, "latents": u}
    return draft


def begun() -> Draft:
    """The same, whose first state, noise and what is kept of a picture are inputs."""
    draft = generation()
    start, step = (next(stage["ops"] for stage in draft.stages if stage["name"] == name) for name in ("start", "step"))
    x, u = start[0]["outputs"]
    shape = draft.values[x]["shape"]
    state, mask = draft.value("f32", *shape), draft.value("f32", 1, 1, *shape[2:])
    noise, known = (draft.value("f32", 2, *shape) for _ in range(2))
    draft.inputs = {"state": state, "noise": noise, "picture_mask": mask, "picture": known}
    size = math.prod(shape)
    at_step = [draft.value("f32", *shape, buffer=draft.values[value]["buffer"], step=size) for value in (noise, known)]
    repeated = draft.value("f32", shape=shape, strides=(4, 0, 2, 1), buffer=draft.values[mask]["buffer"])
    scale = draft.value(
        "f32", shape=shape, strides=(0, 0, 0, 0), offset=1, row=2, buffer=draft.values[start[0]["inputs"][1]]["buffer"]
    )
    begin = [([state], x, []), ([x, scale], u, [["mul", 0, 1]])]
    start[:1] = [
        {"op": "map", "name": "begin", "inputs": inputs, "outputs": [output], "attributes": {"code": code}}
        for inputs, output, code in begin
    ]
    sampler = step[-1]
    sampler["inputs"] = [*sampler["inputs"][:3], at_step[0], *sampler["inputs"][4:], repeated, at_step[1]]
    return draft


class Deleted:
    """What a key becomes that is left out; named alike in every process, as tests are named by it."""

    def __repr__(self) -> str:
        return "DELETED"


DELETED = Deleted()


def edited(document: Document, edits: Mapping[str, Any]) -> Document:
    """A copy with other values at some places, "values/0/offset"; DELETED: without the key."""
    out: Document = json.loads(json.dumps(document))
    for path, value in edits.items():
        *parents, last = path.split("/")
        node: Any = out
        for key in parents:
            node = node[int(key) if isinstance(node, list) else key]
        if value is DELETED:
            del node[last]
        elif isinstance(node, list):
            node[int(last)] = value
        else:
            node[last] = value
    return out

"""A program as the JSON of docs/plan.md, and back."""

import json
from collections.abc import Mapping
from dataclasses import fields
from importlib import metadata
from typing import Any

from fewstep.engine.checks import choice, refuse, sequence, text, whole
from fewstep.engine.reading import strict_json
from fewstep.engine.reading.fields import Fields, json_object
from fewstep.errors import InputError
from fewstep.export.lower.program import DTYPES, Op, Program, Stage, Value

FORMAT, VERSION = "fewstep-plan", 1
MAX_PROGRAM = 64 << 20
MAX_COUNT = 1 << 20
MAX_RANK = 8
MAX_SIZE = 1 << 48
MAX_NAME = 512
OPTIONAL = ("schedule", "adapters", "certificate")


def program_json(program: Program, digests: Mapping[str, str]) -> str:
    """digests: tensor name -> SHA-256, of every tensor that the file will hold."""
    plain = {field.name: getattr(program, field.name) for field in fields(program)}
    optional = {key: plain.pop(key) for key in OPTIONAL}
    on_gpu = program.target["device"] == "cuda"
    document = {
        "format": FORMAT,
        "version": VERSION,
        "made_by": f"fewstep {metadata.version('fewstep')}",
        "digests": dict(digests),
        **plain,
        "values": [_value_json(value) for value in program.values],
        "stages": [
            {"name": stage.name, "steps": stage.steps, "ops": [_op_json(op, on_gpu) for op in stage.ops]}
            for stage in program.stages
        ],
        **{key: value for key, value in optional.items() if value is not None},
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _value_json(value: Value) -> dict[str, Any]:
    where = {"buffer": value.buffer} if value.weight is None else {"weight": value.weight}
    moves = {key: stride for key, stride in (("row", value.row), ("step", value.step)) if stride}
    return {
        "type": value.type, "shape": value.shape, "strides": value.strides, "offset": value.offset, **where, **moves,
    }  # fmt: skip


def _op_json(op: Op, on_gpu: bool) -> dict[str, Any]:
    plain = {field.name: getattr(op, field.name) for field in fields(op)}
    return plain if on_gpu else {key: value for key, value in plain.items() if key != "launches"}


def parse_program(data: bytes, where: str) -> tuple[Program, dict[str, str]]:
    """The program and its digests. Raises InputError naming `where` and the key.

    What the runtime checks before it runs a plan, it checks itself; here every key and every type is.
    """
    document = Fields(where, strict_json.loads(data, where, MAX_PROGRAM))
    if document.take("format", text) != FORMAT:
        raise InputError(f"{where}: format: expected {FORMAT}")
    version = document.take("version", whole, 1, MAX_COUNT)
    if version != VERSION:
        raise InputError(f"{where}: version: expected {VERSION}, got {version}; compile it again or update fewstep")
    document.take("made_by", text)
    digests = document.take("digests", _strings)
    optional = {
        key: document.take(key, json_object)
        for key in OPTIONAL
        if key in document.keys()  # noqa: SIM118
    }
    program = Program(
        target=document.take("target", json_object),
        precision=document.take("precision", choice, ("float32", "float16", "bfloat16")),
        model=document.take("model", json_object),
        batch=document.take("batch", whole, 1, MAX_COUNT),
        arena=document.take("arena", whole, 0, MAX_SIZE),
        buffers=document.take("buffers", _list_of, _buffer),
        values=document.take("values", _list_of, _value),
        inputs=document.take("inputs", _indices),
        outputs=document.take("outputs", _indices),
        stages=document.take("stages", _list_of, _stage),
        passes=document.take("passes", _list_of, json_object),
        **optional,
    )
    document.done()
    return program, digests


def _list_of(where: str, value: object, read: Any) -> tuple[Any, ...]:
    return tuple(read(f"{where}[{i}]", item) for i, item in enumerate(sequence(where, value, 0, MAX_COUNT)))


def _wholes(where: str, value: object, most: int = MAX_SIZE) -> tuple[int, ...]:
    return tuple(whole(where, n, 0, most) for n in sequence(where, value, 0, MAX_RANK))


def _strings(where: str, value: object) -> dict[str, str]:
    return {text(where, key, MAX_NAME): text(where, item) for key, item in json_object(where, value).items()}


def _indices(where: str, value: object) -> dict[str, int]:
    entries = json_object(where, value).items()
    return {text(where, key, MAX_NAME): whole(f"{where}.{key}", item, 0, MAX_COUNT) for key, item in entries}


def _buffer(where: str, value: object) -> tuple[int, int]:
    offset, size = (whole(where, n, 0, MAX_SIZE) for n in sequence(where, value, 2, 2))
    return offset, size


def _value(where: str, value: object) -> Value:
    entry = Fields(where, value)
    keys = entry.keys()
    shape = entry.take("shape", _wholes)
    strides = entry.take("strides", _wholes)
    if len(shape) != len(strides) or ("buffer" in keys) == ("weight" in keys):
        raise refuse(where, "a stride for each axis, and a buffer or a weight", value)
    out = Value(
        type=entry.take("type", choice, DTYPES),
        shape=shape,
        strides=strides,
        offset=entry.take("offset", whole, 0, MAX_SIZE),
        buffer=entry.take("buffer", whole, 0, MAX_COUNT) if "buffer" in keys else None,
        weight=entry.take("weight", text, MAX_NAME) if "weight" in keys else None,
        row=entry.take("row", whole, 0, MAX_SIZE) if "row" in keys else 0,
        step=entry.take("step", whole, 0, MAX_SIZE) if "step" in keys else 0,
    )
    entry.done()
    return out


def _stage(where: str, value: object) -> Stage:
    entry = Fields(where, value)
    out = Stage(entry.take("name", text), entry.take("ops", _list_of, _op), entry.take("steps", whole, 0, MAX_COUNT))
    entry.done()
    return out


def _op(where: str, value: object) -> Op:
    entry = Fields(where, value)
    launches = entry.take("launches", _list_of, json_object) if "launches" in entry.keys() else ()  # noqa: SIM118
    out = Op(
        op=entry.take("op", text),
        name=entry.take("name", str_of),
        inputs=entry.take("inputs", _list_of, _operand),
        outputs=entry.take("outputs", _list_of, _operand),
        attributes=entry.take("attributes", json_object),
        launches=launches,
    )
    entry.done()
    return out


def str_of(where: str, value: object) -> str:
    """A printable string that may be empty."""
    return "" if value == "" else text(where, value)


def _operand(where: str, value: object) -> int | None:
    return None if value is None else whole(where, value, 0, MAX_COUNT)

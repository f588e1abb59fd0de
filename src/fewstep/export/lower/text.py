"""A program as text, and as plain data: what `fewstep inspect` shows of a plan."""

from collections.abc import Iterator, Mapping
from typing import Any

from fewstep.export.lower.cost import cost, stage_cost
from fewstep.export.lower.liveness import Life, lives
from fewstep.export.lower.memory import floor
from fewstep.export.lower.program import Op, Program, Stage, Value


def describe(program: Program) -> str:
    """Lines for people: the program, its memory, what it costs and what each pass did."""
    return "\n".join([*_head(program), *_stages(program), *_memory(program), *_passes(program)])


def facts(program: Program) -> dict[str, Any]:
    """The same as data: {"stages": [{"name", "steps", "operations", "launches", "bytes", "flop", "ops"}], ...}."""
    found = lives(program)
    return {
        "model": program.model["name"],
        "target": dict(program.target),
        "precision": program.precision,
        "batch": program.batch,
        "arena": program.arena,
        "floor": floor(program),
        "buffers": [
            {"buffer": i, "offset": offset, "bytes": size, "live": _life(program, found[i])}
            for i, (offset, size) in enumerate(program.buffers)
        ],
        "stages": [_stage_facts(program, stage) for stage in program.stages],
        "passes": [dict(entry) for entry in program.passes],
        "certificate": program.certificate,
    }


def target_name(target: Mapping[str, Any]) -> str:
    """cpu, or what a plan for a GPU has launches for."""
    if target["device"] != "cuda":
        return str(target["device"])
    architectures = ", ".join(f"sm_{architecture}" for architecture in target["architectures"])
    return f"{architectures} and PTX of sm_{target['ptx']}" if "ptx" in target else architectures


def _stage_facts(program: Program, stage: Stage) -> dict[str, Any]:
    total = stage_cost(program, stage.name, stage.steps)
    return {
        "name": stage.name,
        "steps": stage.steps,
        "operations": len(stage.ops),
        "launches": sum(len(op.launches) for op in stage.ops),
        "bytes": total.bytes,
        "flop": total.flop,
        "ops": [
            {"op": op.op, "name": op.name, "text": _call(program, op), **cost(program, op)._asdict()}
            for op in stage.ops
        ],
    }


def _head(program: Program) -> Iterator[str]:
    yield f"{program.model['name']}: for {target_name(program.target)}, {program.precision}, batch {program.batch}"
    for kind, names in (("input", program.inputs), ("output", program.outputs)):
        for name, index in names.items():
            yield f"{kind:<10} {name} {_type(program.values[index])}"
    if program.schedule is not None:
        counts = ", ".join(f"{count} from row {row}" for count, row in program.schedule["counts"].items())
        yield f"schedule   {program.schedule['rows']} rows; steps {counts}"


def _stages(program: Program) -> Iterator[str]:
    for stage in program.stages:
        total = stage_cost(program, stage.name, stage.steps)
        title = f"{stage.name} of {stage.steps} steps" if stage.steps else stage.name
        launches = sum(len(op.launches) for op in stage.ops)
        counted = f"{launches} launches, " if launches else ""
        yield ""
        yield f"{title}: {len(stage.ops)} operations, {counted}{_count(total.flop)}FLOP, {_count(total.bytes)}B"
        for op in stage.ops:
            one = cost(program, op)
            yield f"  {_call(program, op)}  # {_count(one.flop)}FLOP, {_count(one.bytes)}B, {op.name}"


def _memory(program: Program) -> Iterator[str]:
    found = lives(program)
    yield ""
    yield f"memory: {program.arena} bytes, of which {floor(program)} are live at once at the worst moment"
    for i, (offset, size) in enumerate(program.buffers):
        yield f"  b{i:<4} {offset:>12} + {size:<12} {_life(program, found[i])}"


def _passes(program: Program) -> Iterator[str]:
    yield ""
    yield "passes:"
    for entry in program.passes:
        yield "  " + ", ".join(f"{key} {value}" for key, value in entry.items())


def _life(program: Program, life: Life | None) -> str:
    if life is None:
        return "throughout"
    stage = program.stages[life.stage]
    name = f"{stage.name} of {stage.steps}" if stage.steps else stage.name
    return f"{name} {life.first}" if life.first == life.last else f"{name} {life.first} to {life.last}"


def _call(program: Program, op: Op) -> str:
    outputs = ", ".join(_name(program, index) for index in op.outputs)
    inputs = ", ".join("-" if index is None else _name(program, index) for index in op.inputs)
    return f"{outputs} {_type(program.values[op.outputs[0]])} = {op.op}({inputs}){_attributes(op.attributes)}"


def _attributes(attributes: Mapping[str, Any]) -> str:
    shown = [f"{key} {_code(value) if key == 'code' else value}" for key, value in attributes.items() if value != ""]
    return f" [{'; '.join(shown)}]" if shown else ""


def _code(code: list[list[Any]]) -> str:
    return "copy" if not code else " ".join(f"({' '.join(map(str, line))})" for line in code)


def _name(program: Program, index: int) -> str:
    value = program.values[index]
    name = value.weight if value.weight is not None else f"b{value.buffer}"
    moves = [f"+{value.offset}"] if value.offset else []
    moves += [f"+{stride} {what}" for stride, what in ((value.row, "row"), (value.step, "step")) if stride]
    return f"{name}{''.join(moves)}"


def _type(value: Value) -> str:
    return f"{value.type}{list(value.shape)}"


def _count(number: int) -> str:
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number} "

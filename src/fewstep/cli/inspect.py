"""fewstep inspect: what a bundle holds and the tables it runs, or the program of a plan."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from fewstep.cli.needs import require
from fewstep.cli.parser import Parser
from fewstep.cli.saving import describe_saving, read_savings, saving_json

if TYPE_CHECKING:
    from fewstep.engine.table import GuidedSchedule, Schedule


def add_parser(subparsers: "argparse._SubParsersAction[Parser]") -> None:
    text = "show a model's contract, components, files and schedules, or a plan's program"
    parser = subparsers.add_parser(
        "inspect",
        help=text,
        description=f"{text.capitalize()}. Every digest is checked. A plan needs pip install 'fewstep[export]'.",
        usage="fewstep inspect MODEL [options]",
    )
    parser.add_argument("model", metavar="MODEL", help="a shipped model, a bundle's folder or a plan")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from fewstep.api import is_plan, open_model
    from fewstep.engine.request import contract_schedule

    if is_plan(args.model):
        return inspect_plan(args.model, args.json)
    bundle = open_model(args.model)
    manifest, savings = bundle.manifest, read_savings(bundle)
    tables = {steps: contract_schedule(manifest, steps) for steps in sorted(manifest.schedule.steps)}
    if args.json:
        found = {name: saving_json(saving) for name, saving in savings.items()}
        told = {n: columns(table) for n, table in tables.items()}
        print(json.dumps({"bundle": plain(manifest), "savings": found, "tables": told}))
        return 0
    image, contract = manifest.image, manifest.schedule
    print(f"{manifest.name}: {manifest.description}")
    print(f"family     {manifest.family}")
    print(f"license    {manifest.license.spdx} ({manifest.license.file})")
    print(f"image      {image.width} x {image.height} x {image.channels}, state {list(manifest.state.shape)}")
    print(
        f"schedule   {contract.name}, steps {', '.join(map(str, tables))} (default {contract.default_steps}), ", end=""
    )
    print(f"guidance {contract.guidance:g}")
    for label in manifest.labels:
        print(f"label      {label.name}: {', '.join(label.values)}")
    for name, component in manifest.components.items():
        print(f"component  {name}: {component.graph} + {', '.join(component.weights) or 'no weights'}")
        for kind, tensors in (("in", component.inputs), ("out", component.outputs)):
            for tensor in tensors:
                print(f"  {kind:<3} {tensor.name} {tensor.dtype} [{', '.join(map(str, tensor.shape))}]")
        for stage, part in component.stages.items():
            print(f"  stage {stage}: {part.graph}, {len(part.inputs)} values in, {len(part.outputs)} out")
        if name in savings:
            print("\n".join(f"  {line}" for line in describe_saving(savings[name])))
    for name, file in manifest.files.items():
        print(f"file       {name}  {file.size} bytes  sha256 {file.sha256}")
    for steps, table in tables.items():
        _print_table(steps, columns(table))
    return 0


def inspect_plan(path: str, as_json: bool) -> int:
    require("fewstep inspect PLAN", "onnx", "onnx_ir")
    from fewstep.export.lower.plan_file import read_plan
    from fewstep.export.lower.text import describe, facts

    program, _ = read_plan(path)
    print(json.dumps(facts(program)) if as_json else describe(program))
    return 0


def plain(value: Any) -> Any:
    """Dataclasses and mappings as dicts, at any depth."""
    from collections.abc import Mapping
    from dataclasses import is_dataclass

    if is_dataclass(value):
        return {key: plain(item) for key, item in vars(value).items()}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def columns(table: "Schedule | GuidedSchedule") -> dict[str, Any]:
    """The scalars of a schedule by name; inf and NaN, which JSON has not, are null."""
    from dataclasses import fields, is_dataclass

    import numpy as np

    found: dict[str, Any] = {}
    for field in fields(table):
        value = getattr(table, field.name)
        if is_dataclass(value):
            found |= columns(value)  # type: ignore[arg-type]
        elif isinstance(value, np.ndarray):
            found[field.name] = [float(x) if np.isfinite(x) else None for x in value]
        else:
            found[field.name] = value
    return found


def _print_table(steps: int, found: dict[str, Any]) -> None:
    shown = {
        name: values
        for name, values in found.items()
        if isinstance(values, list) and (name in ("tau", "s_in", "a", "b", "c") or any(values))
    }
    print(f"{steps} step{'s' if steps > 1 else ''}: init {found['init']:g}, out_scale {found['out_scale']:g}")
    print("  step " + "".join(f"{name:>12}" for name in shown))
    for i in range(steps):
        cells = ("-" if values[i] is None else f"{values[i]:.6g}" for values in shown.values())
        print(f"  {i:<4} " + "".join(f"{cell:>12}" for cell in cells))

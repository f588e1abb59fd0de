"""One network as a program, for those who bring their own loop."""

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from fewstep.export.lower.assemble import Header, assemble
from fewstep.export.lower.draft import DraftStage
from fewstep.export.lower.fuse import fuse
from fewstep.export.lower.network import lower_network
from fewstep.export.lower.pass_reports import pass_reports
from fewstep.export.lower.placed import Weights, placed
from fewstep.export.lower.precision import stage_types
from fewstep.export.lower.program import Program
from fewstep.export.lower.weights import WeightFile

STAGE = "network"


def compile_network(
    model: ir.Model,
    *,
    sizes: Mapping[str, int],
    target: Mapping[str, Any],
    precision: str = "float32",
    name: str = "network",
    processes: int | None = None,
) -> tuple[Program, Weights]:
    """The program of an ONNX network and its weights, for plan_file.write_plan.

    sizes: of its symbolic dimensions. Its inputs and outputs keep their names. processes: how many compile kernels at a
    time, one a core unless given. Raises LoweringError.
    """
    file = WeightFile()
    fused, reports = fuse(model, sizes)
    lowered = lower_network(fused.graph, {}, file, stage_types(precision, target["device"])[STAGE])
    passes = [*pass_reports({"stage": STAGE}, reports, lowered), {"pass": "precision", "kept float32": file.wide}]
    told = {"name": name, "family": "", "bundle": ""}
    header = Header(target, precision, told, sizes.get("B", 1), passes)
    program = assemble(header, [DraftStage(STAGE, lowered.ops)], lowered.inputs, lowered.outputs)
    return placed(program, file.weights, processes)

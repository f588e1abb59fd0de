"""What each pass of the compiler did to a stage, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from fewstep.export.lower.network import Lowered
from fewstep.export.lower.rewrite import PassReport


def pass_reports(where: Mapping[str, Any], fusion: Sequence[PassReport], lowered: Lowered) -> list[dict[str, Any]]:
    """where: what says which stage it is."""
    copies = sum(op.op == "map" and not op.attributes["code"] for op in lowered.ops)
    fused = [
        {**where, "pass": report.name, "rewrites": report.rewrites, "nodes": report.after}
        for report in fusion
        if report.rewrites
    ]
    return [*fused, {**where, "pass": "views", "operations": len(lowered.ops), "copies": copies}]

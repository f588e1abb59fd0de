"""What staging takes out of the loop of every family's published size, by shapes alone: python -m benchmarks.staging

No weight is held: networks are made on the device meta. Families that differ in their schedules alone share a row.
"""

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.pairing import write_rows
from benchmarks.random_network import denoiser, graph_of
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.family import Family, SizeName
from fewstep.export.staging.binding import Binding
from fewstep.export.staging.report import measure_saving
from fewstep.export.staging.stage import stage

Row = dict[str, Any]
FLOAT = 4  # bytes of a weight of the traced graph


def groups(size: SizeName) -> dict[str, list[str]]:
    """Families by the first of those with the same denoiser at the same sizes."""
    found: dict[str, list[str]] = {}
    for name, family in FAMILIES.items():
        found.setdefault(_shape(family, size), []).append(name)
    return {names[0]: names for names in found.values()}


def _shape(family: Family, size: SizeName) -> str:
    chosen = family.size(size)
    networks = {role: [network.kind, dict(network.config)] for role, network in chosen.networks.items()}
    inputs = [(spec.name, spec.shape) for spec in chosen.inputs]
    return json.dumps([family.denoiser.__qualname__, networks, inputs, chosen.latent], default=list, sort_keys=True)


def measure(name: str, size: SizeName) -> Row:
    """Of one image and one guidance branch."""
    start = time.perf_counter()
    model = graph_of(*denoiser(name, size, images=2), any_batch=True)
    state, tau, *prompt = (str(value.name) for value in model.graph.inputs)
    bindings = {state: Binding.STATE, tau: Binding.TIME, **dict.fromkeys(prompt, Binding.PROMPT)}
    saving = measure_saving(model, stage(model, bindings))
    works = {"whole": saving.whole, "removed": saving.removed, **saving.stages}
    rows = {key: {**asdict(work), "weights": work.weights // FLOAT} for key, work in works.items()}
    return {"family": name, "size": size, **rows, "seconds": round(time.perf_counter() - start, 1)}


def told(row: Row) -> str:
    """Shares of a step: nodes, parameters and FLOP that it no longer has."""
    whole, removed = row["whole"], row["removed"]
    shares = ", ".join(f"{100 * removed[key] / max(whole[key], 1):.1f} % of {key}" for key in whole)
    return (
        f"{row['family']:24} {whole['weights'] / 1e6:.1f} M, {whole['flop'] / 1e9:.1f} GFLOP; out of the loop {shares}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="FAMILY", help="by default one of each group of like networks")
    parser.add_argument("--size", choices=("tiny", "full"), default="full")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/staging.local.jsonl"))
    args = parser.parse_args()
    shared = groups(args.size)
    rows: list[Row] = []
    for name in args.names or shared:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:  # gives its memory back
            row = pool.submit(measure, name, args.size).result()
        rows.append({**row, "families": shared.get(name, [name])})
        print(told(row), flush=True)
        write_rows(args.out, rows)


if __name__ == "__main__":
    main()

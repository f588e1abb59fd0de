"""Does every family make what its pipeline of diffusers makes, from a folder on disk? Loads, exports, compiles, runs.

python tests/folder_parity.py [NAME ...] [--write]: of all families unless some are named. Latents and images of torch,
onnxruntime and a plan whose noise is an input are compared with diffusers', drawn from the same generators. --write
keeps the rows in tests/data and the table in docs/families.md. Fails where an error is larger than the bounds.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import whole_families
from copied_bundle import write_copy
from family_table import RESULTS, write_table
from whole_families import PROMPTS, Whole, whole

import fewstep
from fewstep.compilation import compile_plan
from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import Contract
from fewstep.engine.job import Job
from fewstep.engine.pipeline import Pipeline
from fewstep.engine.request import check_request, contract_schedule
from fewstep.engine.start import Start
from fewstep.engine.torch_noise import torch_stream
from fewstep.errors import FewstepError, InputError
from fewstep.export.checkpoints.opening import open_checkpoint
from fewstep.export.detect import detect
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.from_checkpoint import Wanted, export_published, open_family

SEEDS = (5, 6)
CLOSE, LEVELS = 5e-6, 1  # of the largest latent; grey levels of a byte
Row = dict[str, Any]


def counts(name: str) -> list[int]:
    """The legal ones up to 4, or the least."""
    steps = list(FAMILIES[name].contract.steps)
    return [N for N in steps if N <= 4] or [min(steps)]


def measure(name: str, folder: Path, exported: dict[str, Path]) -> Row:
    """exported: bundles of families before, by their networks, which the family may share."""
    told, count = whole(name), counts(name)[0] if is_by_count(name) else None
    wanted = Wanted(family=name, size=told.image, distilled_steps=count)
    checkpoint = whole_families.write(name, folder / "checkpoint")
    row: Row = {"family": name, "told_by_files": _is_told(name, checkpoint), "steps": counts(name)}
    pipe = whole_families.opened(name, checkpoint)
    expected = {N: _expected(told, pipe, N) for N in counts(name)}
    opened = fewstep.load(checkpoint, device="cpu", family=name, size=told.image, distilled_steps=count)
    row["torch"] = _beside(replace(opened, manifest=_of_all_counts(name, opened.manifest)), expected)
    networks = {role: [n.kind, dict(n.config)] for role, n in whole_families.networks(FAMILIES[name]).items()}
    key = json.dumps([FAMILIES[name].prompt.__qualname__, networks], default=list)
    bundle = folder / "bundle"
    if key not in exported:
        exported[key] = folder / "exported"
        export_published(checkpoint, exported[key], wanted, dtype="fp32")
    twin = Bundle.open(exported[key])
    contract, parts = _of_all_counts(name, open_family(checkpoint, wanted).contract), twin.manifest.components
    write_copy(bundle, contract, name, twin.manifest.state, parts, twin.files)
    row["onnxruntime"] = _beside(fewstep.load(bundle, device="cpu"), expected)
    try:
        compile_plan(bundle, folder / "plan.fsp", noise="input")
        row["native"] = _beside(fewstep.load(folder / "plan.fsp"), expected)
    except FewstepError as error:
        row["native"] = str(error).splitlines()[0]
    return row


def is_by_count(name: str) -> bool:
    published = FAMILIES[name].published
    return published is not None and published.by_count


def _of_all_counts(name: str, contract: Contract) -> Contract:
    """Random weights are as good for one count as for another."""
    return replace(contract, schedule=replace(contract.schedule, steps=FAMILIES[name].contract.steps))


def _is_told(name: str, checkpoint: Path) -> bool:
    """But for the size, which tiny networks do not have."""
    try:
        found = detect(open_checkpoint(checkpoint))
    except InputError:
        return False
    return (found.published, found.contract) == (FAMILIES[name].published, FAMILIES[name].contract)


def _expected(told: Whole, pipe: Any, steps: int) -> tuple[Any, Any]:
    """Its latents and its images in bytes."""
    shown = whole_families.run(told, pipe, steps, SEEDS, "np")
    return expected_latents(told, pipe, steps), np.round(255 * np.asarray(shown)).astype(int)


def expected_latents(told: Whole, pipe: Any, steps: int) -> Any:
    import torch

    held = whole_families.run(told, pipe, steps, SEEDS, told.output)
    return told.latents(torch.as_tensor(held).float()).numpy()


def _request(pipe: Pipeline) -> dict[str, Any]:
    if pipe.manifest.labels:
        return {"label": ["3", "7"]}
    return {"prompt": list(PROMPTS)} if pipe.manifest.texts else {}


def latents_of(pipe: Pipeline, steps: int) -> Any:
    given, schedule = _request(pipe), contract_schedule(pipe.manifest, steps)
    request = check_request(pipe.manifest, given.get("prompt"), given.get("label"), seed=list(SEEDS), steps=steps)
    inputs, _ = pipe._inputs(request)
    backend: Any = pipe.backend
    noise = [torch_stream(seed, backend.state, schedule) for seed in SEEDS]
    job = Job(SEEDS, inputs, schedule, Start(noise=noise))
    return backend.generate(job)[0] if backend.name == "native" else backend.latents(job)


def _images(pipe: Pipeline, steps: int) -> Any:
    return pipe(**_request(pipe), seed=list(SEEDS), steps=steps, rng="torch").images.astype(int)


def _error(found: Any, expected: Any) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _beside(pipe: Pipeline, expected: Mapping[int, tuple[Any, Any]]) -> Row:
    return {
        "latents": [_error(latents_of(pipe, N), latents) for N, (latents, _) in expected.items()],
        "levels": [int(np.abs(_images(pipe, N) - images).max()) for N, (_, images) in expected.items()],
    }


def is_good(row: Row) -> bool:
    made = [row[backend] for backend in ("torch", "onnxruntime", "native")]
    return all(
        not isinstance(one, str) and max(one["latents"]) <= CLOSE and max(one["levels"]) <= LEVELS for one in made
    )


def told(row: Row) -> str:
    cells = []
    for backend in ("torch", "onnxruntime", "native"):
        one = row[backend]
        errors = one if isinstance(one, str) else f"{max(one['latents']):.1e} {max(one['levels'])}"
        cells.append(f"{backend} {errors}")
    return f"{row['family']:22} N = {row['steps']}: {', '.join(cells)}{'' if is_good(row) else '  WRONG'}"


def _keep(row: Row) -> None:
    """In tests/data, in the place of the one before, and in the page."""
    known = {one["family"]: one for one in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    known[row["family"]] = row
    rows = [json.dumps(known[name]) for name in FAMILIES if name in known]
    RESULTS.write_text("[\n" + ",\n".join(rows) + "\n]\n")
    write_table()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *FAMILIES])
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    rows: list[Row] = []
    exported: dict[str, Path] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.names or FAMILIES:
            start = time.process_time()
            (Path(folder) / name).mkdir()
            rows.append(measure(name, Path(folder) / name, exported))
            print(f"{told(rows[-1])} ({time.process_time() - start:.0f} s)", flush=True)
            if args.write:
                _keep(rows[-1])
    print(f"{sum(map(is_good, rows))} of {len(rows)}")
    return int(not all(map(is_good, rows)))


if __name__ == "__main__":
    sys.exit(main())

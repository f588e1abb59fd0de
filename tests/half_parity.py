"""Is half precision no worse here than in diffusers? Both beside diffusers in float32, from one folder and generators.

python tests/half_parity.py [NAME ...] [--write]: of a family of each kind of network unless some are named, in float16
and bfloat16, at its most steps up to 4. An error is the rms of the difference from float32's latents, over their rms.
--write keeps the rows in tests/data and the table in docs/families.md. Fails where diffusers is nearer.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import whole_families
from family_table import HALF_RESULTS, write_table
from folder_parity import counts, expected_latents, is_by_count, latents_of
from whole_families import whole

import fewstep
from fewstep.export.families.catalogue import FAMILIES

DTYPES = {"fp16": "float16", "bf16": "bfloat16"}
NAMES = (
    "sd-turbo", "sdxl-turbo", "lcm-dreamshaper", "pixart-delta", "sana-sprint", "flux-schnell", "sd3.5-large-turbo",
    "z-image-turbo", "qwen-image-lightning", "cd_imagenet64",
)  # fmt: skip
ALIKE = 1.25  # errors of as many roundings are apart by so much, by chance, in two small latents
Row = dict[str, Any]


def measure(name: str, folder: Path) -> Row:
    import torch

    told, N = whole(name), max(counts(name))
    checkpoint = whole_families.write(name, folder / name)
    exact = expected_latents(told, whole_families.opened(name, checkpoint), N)
    row: Row = {"family": name, "steps": N}
    for dtype, kind in DTYPES.items():
        pipe = whole_families.opened(name, checkpoint)
        pipe.to(dtype=getattr(torch, kind))
        ours = fewstep.load(
            checkpoint, device="cpu", dtype=dtype, family=name, size=told.image,
            distilled_steps=N if is_by_count(name) else None,
        )  # fmt: skip
        row[dtype] = {
            "ours": _error(latents_of(ours, N), exact),
            "diffusers": _error(expected_latents(told, pipe, N), exact),
        }
    return row


def _error(found: Any, exact: Any) -> float | None:
    """None for NaN and Inf."""
    found = np.asarray(found, np.float64)
    if not np.isfinite(found).all():
        return None
    return float(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact.astype(np.float64) ** 2)))


def is_good(row: Row) -> bool:
    """Whether diffusers is no nearer, in either precision."""
    return all(
        row[dtype]["ours"] is not None
        and (row[dtype]["diffusers"] is None or row[dtype]["ours"] <= ALIKE * row[dtype]["diffusers"])
        for dtype in DTYPES
    )


def _keep(row: Row) -> None:
    known = {one["family"]: one for one in json.loads(HALF_RESULTS.read_text())} if HALF_RESULTS.exists() else {}
    known[row["family"]] = row
    rows = [json.dumps(known[name]) for name in FAMILIES if name in known]
    HALF_RESULTS.write_text("[\n" + ",\n".join(rows) + "\n]\n")
    write_table()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *FAMILIES])
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    rows = []
    for name in args.names or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(name, Path(folder)))
        print(f"{json.dumps(rows[-1])}{'' if is_good(rows[-1]) else '  WORSE'}", flush=True)
        if args.write:
            _keep(rows[-1])
    print(f"{sum(map(is_good, rows))} of {len(rows)}")
    return int(not all(map(is_good, rows)))


if __name__ == "__main__":
    sys.exit(main())

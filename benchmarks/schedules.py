"""Time to build a sampler's table, N <= 8: python -m benchmarks.schedules [--json FILE]

Each row is one sampler and step count: microseconds at the median, p20 and p80 of single builds, once the levels of the
training times are cached, and `first_us`, the build that computes them.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pairing import machine, write_rows
from fewstep.engine.levels import scheduled_products
from fewstep.engine.schedule import SAMPLERS, schedule

LIMIT_US = 1000
TIMES = [999, 899, 799, 699, 599, 499, 399, 299]


def options(name: str, steps: int) -> dict[str, Any]:
    """The two samplers that have their own times for few step counts take a list for others."""
    return {"timesteps": TIMES[:steps]} if name in ("add-demo", "dmd2") else {}


def measure(name: str, steps: int, builds: int) -> dict[str, Any]:
    chosen = options(name, steps)
    scheduled_products.cache_clear()
    seconds = []
    for _ in range(builds + 1):
        began = time.perf_counter()
        schedule(name, steps, **chosen)
        seconds.append(time.perf_counter() - began)
    first, *rest = (1e6 * s for s in seconds)
    quantiles = {f"us_p{q}": round(float(np.percentile(rest, q)), 1) for q in (20, 50, 80)}
    return {"sampler": name, "steps": steps, **quantiles, "first_us": round(first, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--builds", type=int, default=200)
    parser.add_argument("--json", type=Path, help="write the rows here, one JSON object a line")
    args = parser.parse_args()
    where = machine(threads=1)
    rows = [measure(name, steps, args.builds) for name in SAMPLERS for steps in (1, 2, 4, 8)]
    for row in rows:
        print(
            "{sampler:16} N={steps} {us_p50:8.1f} us, p20 {us_p20:.1f}, p80 {us_p80:.1f}, first {first_us:.0f}".format(
                **row
            )
        )
    if args.json:
        write_rows(args.json, [{**row, **where} for row in rows])
    slowest = max(rows, key=lambda row: float(row["us_p50"]))
    print("slowest median: {us_p50} us, {sampler} N={steps};".format(**slowest), f"the limit is {LIMIT_US} us")
    if slowest["us_p50"] > LIMIT_US:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""fewstep models: the models in the package."""

import argparse
import json
import sys
from typing import Any

from fewstep.cli.parser import Parser


def add_parser(subparsers: "argparse._SubParsersAction[Parser]") -> None:
    parser = subparsers.add_parser("models", help="list the shipped models", description="List the shipped models.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from fewstep.api import open_model, shipped_models

    manifests = [open_model(name).manifest for name in shipped_models()]
    rows: list[dict[str, Any]] = [
        {
            "name": m.name,
            "family": m.family,
            "width": m.image.width,
            "height": m.image.height,
            "steps": sorted(m.schedule.steps),
            "license": m.license.spdx,
            "description": m.description,
        }
        for m in manifests
    ]
    if args.json:
        print(json.dumps({"models": rows}))
        return 0
    for row in rows:
        counts = "/".join(map(str, row["steps"]))
        print(
            f"{row['name']}  {row['width']} x {row['height']}  steps {counts}  {row['license']}  {row['description']}"
        )
    if not rows:
        print("fewstep: no model is shipped in this package; give a bundle's folder instead", file=sys.stderr)
    return 0

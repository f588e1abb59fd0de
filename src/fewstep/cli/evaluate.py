"""fewstep evaluate: quality against steps, measured offline."""

import argparse
import json
import sys
from dataclasses import asdict

from fewstep.cli.parser import Parser, integer


def add_parser(subparsers: "argparse._SubParsersAction[Parser]") -> None:
    text = "measure a model's quality against its number of steps"
    parser = subparsers.add_parser("evaluate", help=text, description=f"{text.capitalize()}.")
    parser.add_argument("model", nargs="?", default="toons16", help="a model that brings a yardstick (toons16)")
    parser.add_argument("-n", "--n", type=integer, default=5000, metavar="N", help="pictures a row, 500 or more (5000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from fewstep.evaluation import evaluate

    rows = []
    for row in evaluate(args.model, args.n, progress=_progress if sys.stderr.isatty() else None):
        rows.append(row)
        if args.json:
            continue
        if len(rows) == 1:
            print(f"{'':<28} {'Frechet distance':>16}  share of pictures read as asked for")
        shares = "  ".join(f"{table} {share:.3f}" for table, share in row.accuracy.items())
        print(f"{row.name:<28} {row.frechet:>16.2f}  {shares}", flush=True)
    if args.json:
        print(json.dumps({"model": args.model, "rows": [asdict(row) for row in rows]}))
    return 0


def _progress(row: str, done: int, n: int) -> None:
    end = "\r\033[K" if done == n else "\r"
    print(f"{row}: picture {done} of {n}", end=end, file=sys.stderr, flush=True)

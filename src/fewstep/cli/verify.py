"""fewstep verify: how far a plan's pictures are from its bundle's, written into the plan."""

import argparse
import json
import sys
from pathlib import Path

from fewstep.cli.needs import require
from fewstep.cli.parser import Parser, integer
from fewstep.cli.terminal import escaped
from fewstep.errors import BackendError, InputError


def add_parser(subparsers: "argparse._SubParsersAction[Parser]") -> None:
    text = "measure how far a plan is from its bundle, and write that into the plan"
    parser = subparsers.add_parser(
        "verify",
        help=text,
        description=f"{text.capitalize()}. Errors are relative to the rms of the latents.",
        usage="fewstep verify PLAN --against MODEL [options]",
    )
    parser.add_argument("plan", metavar="PLAN", help="a plan")
    parser.add_argument(
        "--against", metavar="MODEL", required=True, help="the shipped model or bundle it was compiled from"
    )
    parser.add_argument("--checkpoint", metavar="FOLDER", help="what MODEL was exported from: PyTorch runs it too")
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto: the plan's own (auto)")
    parser.add_argument("--seeds", type=integer, default=8, metavar="N", help="seeds 0 to N - 1 (8)")
    parser.add_argument("--max-error", type=float, metavar="X", help="fail if the largest error exceeds X")
    parser.add_argument("--dry-run", action="store_true", help="measure only, leave the plan as it is")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verifies; raises what verification.verify does, and BackendError where --max-error is exceeded."""
    require("fewstep verify", "onnx", "onnx_ir")
    from fewstep.export.lower.plan_file import certify
    from fewstep.verification import verify

    if args.max_error is not None and not args.max_error > 0:
        raise InputError(f"max-error: expected a number above 0, got {args.max_error}")
    checkpoint = None if args.checkpoint is None else Path(args.checkpoint)
    show = _progress if sys.stderr.isatty() else None
    certificate = verify(
        args.plan, args.against, device=args.device, seeds=args.seeds, checkpoint=checkpoint, progress=show
    )
    if args.json:
        print(json.dumps(certificate.as_dict()))
    else:
        for name, counts in certificate.errors.items():
            for steps, error in counts.items():
                psnr = "equal images" if error.psnr is None else f"PSNR {error.psnr:.1f} dB, {error.levels} grey levels"
                print(
                    f"{escaped(args.plan)}: {steps} steps against {name} {certificate.against[name]}: "
                    f"max {error.max:.1e}, rms {error.rms:.1e}, {psnr}"
                )
    if args.max_error is not None and certificate.worst > args.max_error:
        raise BackendError(f"{args.plan}: expected errors of at most {args.max_error:g}, got {certificate.worst:.2e}")
    if not args.dry_run:
        certify(Path(args.plan), certificate.as_dict())
    return 0


def _progress(name: str, steps: int) -> None:
    print(f"\r\033[K{name}, {steps} steps", end="\r\033[K", file=sys.stderr, flush=True)

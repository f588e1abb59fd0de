"""fewstep export: a checkpoint into a bundle."""

import argparse
import json
import sys

from fewstep.cli.checkpoint import add_options, given_options
from fewstep.cli.needs import require
from fewstep.cli.parser import Parser
from fewstep.cli.saving import describe_saving, saving_json
from fewstep.cli.terminal import say

NEEDED = ("torch", "onnx", "onnxscript")


def add_parser(subparsers: "argparse._SubParsersAction[Parser]") -> None:
    text = "turn a checkpoint into a bundle"
    parser = subparsers.add_parser(
        "export",
        help=text,
        description=f"{text.capitalize()}. docs/bundle.md says what either holds. Needs pip install 'fewstep[export]'.",
        usage="fewstep export CHECKPOINT -o FOLDER [options]",
    )
    parser.add_argument(
        "model",
        metavar="CHECKPOINT",
        help="a folder of diffusers, a single file, an owner/name of huggingface.co; or a folder of model.safetensors, "
        "config.json, contract.json",
    )
    parser.add_argument("-o", "--output", metavar="FOLDER", required=True, help="the bundle to write")
    parser.add_argument(
        "--dtype",
        choices=("fp16", "fp32"),
        default="fp16",
        metavar="DTYPE",
        help="of stored weights, fp16 or fp32 (fp16)",
    )
    parser.add_argument("--editing", action="store_true", help="put the encoder in, with which pictures are changed")
    add_options(parser)
    parser.add_argument("--force", action="store_true", help="replace a bundle that is there already")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exports; raises MissingDependencyError without the export extra, and what export_checkpoint raises."""
    require("fewstep export", *NEEDED)
    from fewstep.api import is_checkpoint

    options = given_options(args)
    if is_checkpoint(args.model):
        from fewstep.export.from_checkpoint import Wanted, export_published

        export = export_published(
            args.model,
            args.output,
            Wanted(**options),
            dtype=args.dtype,
            editing=args.editing,
            overwrite=args.force,
            progress=_tell if sys.stderr.isatty() else None,
        )
    else:
        from fewstep.export.export import export_checkpoint

        export = export_checkpoint(args.model, args.output, dtype=args.dtype, overwrite=args.force)
    bundle = export.bundle
    files = bundle.manifest.files
    size = sum(entry.size for entry in files.values())
    if args.json:
        row = {
            "path": str(bundle.path),
            "name": bundle.manifest.name,
            "family": bundle.manifest.family,
            "digest": bundle.digest,
            "dtype": export.dtype,
            "bytes": size,
            "relative_error": export.relative_error,
            "saving": saving_json(export.saving),
        }
        print(json.dumps(row))
    else:
        facts = f"{len(files)} files, {size / 1e6:.1f} MB, weights {export.dtype}"
        made = f"{bundle.path}: {bundle.manifest.name} ({bundle.manifest.family})"
        print(f"{made}, {facts}, within {export.relative_error:.0e} of PyTorch", file=sys.stderr)
        if export.saving is not None:
            print("\n".join(describe_saving(export.saving)), file=sys.stderr)
    return 0


def _tell(what: str) -> None:
    say(f"fewstep: {what}")

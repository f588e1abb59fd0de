"""fewstep compile: a bundle into a plan."""

import argparse
import json
import sys
import time
from pathlib import Path

from fewstep.cli.checkpoint import add_options, given_options
from fewstep.cli.needs import require
from fewstep.cli.parser import Parser, integer
from fewstep.cli.terminal import escaped
from fewstep.errors import InputError

NEEDED = {"cpu": ("onnx", "onnx_ir", "onnxscript"), "cuda": ("onnx", "onnx_ir", "onnxscript", "torch", "triton")}
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def add_parser(subparsers: "argparse._SubParsersAction[Parser]") -> None:
    text = "compile a model into a plan, one file that the C++ runtime runs"
    parser = subparsers.add_parser(
        "compile",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. docs/plan.md describes it. Needs pip install 'fewstep[export]'.",
        usage="fewstep compile MODEL -o FILE.fsp [options]",
    )
    parser.add_argument("model", metavar="MODEL", help="a shipped model or a bundle's folder")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the plan to write, ending in .fsp")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", metavar="DEVICE", help="cpu or cuda (cpu)")
    parser.add_argument("--sm", metavar="A,B", help="cuda: architectures to compile for, such as 80,90 (90)")
    parser.add_argument("--ptx", action="store_true", help="cuda: add PTX, which the driver compiles for later GPUs")
    parser.add_argument(
        "--matmul",
        choices=("triton", "cublaslt"),
        metavar="BY",
        help="cuda: plain matrix products by triton or cublaslt (triton)",
    )
    parser.add_argument("--steps", metavar="A,B", help="step counts it can run (all the model was distilled for)")
    parser.add_argument("-b", "--batch", type=integer, default=1, metavar="B", help="pictures of one run (1)")
    parser.add_argument(
        "--dtype", choices=tuple(DTYPES), default="fp32", metavar="DTYPE", help="fp32, fp16, bf16 (fp32)"
    )
    parser.add_argument(
        "--lora-rank", type=integer, metavar="R", help="leave updates of rank R open for LoRAs of the loaded plan"
    )
    parser.add_argument(
        "--lora-targets", metavar="WHICH", help="modules that have one: all, attention, or a LoRA file's (all)"
    )
    parser.add_argument(
        "--noise",
        choices=("seeds", "input"),
        default="seeds",
        metavar="FROM",
        help="of the seeds, or an input, as --rng torch and pictures to change need (seeds)",
    )
    parser.add_argument("--edit", action="store_true", help="--noise input, and a mask of what is kept of a picture")
    parser.add_argument("--force", action="store_true", help="replace a plan that is there already")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compiles; raises MissingDependencyError without the extra, InputError, ContractError, LoweringError."""
    require("fewstep compile", *NEEDED[args.device])
    from fewstep.api import PLAN, is_plan
    from fewstep.compilation import compile_plan

    start = time.perf_counter()
    if not is_plan(args.output):
        raise InputError(f"output: expected a file that ends in {PLAN}, got {args.output!r}")
    for name, given in (("sm", args.sm is not None), ("ptx", args.ptx), ("matmul", args.matmul is not None)):
        if given and args.device == "cpu":
            raise InputError(f"{name}: expected with --device cuda alone")
    if args.lora_targets is not None and args.lora_rank is None:
        raise InputError("lora_targets: expected with --lora-rank alone")
    needed = ("torch",) if args.lora_rank is not None else ()
    require("fewstep compile --lora-rank", *needed)
    plan = compile_plan(
        args.model,
        Path(args.output),
        device=args.device,
        architectures=whole_numbers("sm", args.sm) or (90,),
        ptx=args.ptx,
        matmul=args.matmul or "triton",
        steps=whole_numbers("steps", args.steps),
        batch=args.batch,
        precision=DTYPES[args.dtype],
        lora_rank=args.lora_rank,
        lora_targets=args.lora_targets or "all",
        noise=args.noise,
        edit=args.edit,
        overwrite=args.force,
        progress=_progress if sys.stderr.isatty() else None,
        **given_options(args),
    )
    seconds = time.perf_counter() - start
    if args.json:
        print(json.dumps({"path": args.output, "seconds": round(seconds, 3), **plan.facts}))
    else:
        facts = plan.facts
        print(
            f"{escaped(args.output)}: {facts['name']} for {facts['target']}, {facts['dtype']}, steps {facts['steps']}, "
            f"{facts['ops']} operations a step, {facts['bytes'] / 1e6:.1f} MB, arena {facts['arena'] / 1e6:.2f} MB, "
            f"{seconds:.1f} s",
            file=sys.stderr,
        )
    return 0


def whole_numbers(where: str, text: str | None) -> tuple[int, ...]:
    """1,2,4 as numbers; none for None."""
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise InputError(f"{where}: expected whole numbers with commas between them, got {text[:60]!r}")
    return tuple(int(part) for part in parts)


def _progress(what: str) -> None:
    print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)

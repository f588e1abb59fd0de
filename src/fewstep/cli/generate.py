"""fewstep generate: pictures from a prompt or a label."""

import argparse
import json
import sys
from collections.abc import Mapping

from fewstep.cli.checkpoint import add_options, given_options
from fewstep.cli.parser import Parser, integer, label
from fewstep.cli.terminal import escaped, interruptible, say

DTYPES = ("fp32", "fp16", "bf16")
LAYOUTS = ("auto", "single", "numbered", "sheet")


def add_parser(subparsers: "argparse._SubParsersAction[Parser]") -> None:
    text = "make pictures"
    parser = subparsers.add_parser("generate", help=text, description="Make pictures from a prompt or a label.")
    model = parser.add_argument_group("what to make")
    model.add_argument(
        "-m", "--model", default="toons16", help="a shipped model, a bundle, plan or checkpoint (toons16)"
    )
    model.add_argument("-p", "--prompt", help='text; of a model with a vocabulary its words, "green critter on purple"')
    model.add_argument("--label", type=label, help="a label such as planets, or class=critters,color=green")
    model.add_argument("-n", "--n", type=integer, metavar="N", help="number of pictures, 1 to 1024 (1)")
    model.add_argument("-s", "--seed", type=integer, help="picture i has seed SEED + i (random)")
    model.add_argument("--steps", type=integer, help="network calls, as the model was distilled for (its default)")
    model.add_argument("--guidance", type=float, metavar="G", help="of a model that has a choice (its default)")
    model.add_argument("--negative-prompt", metavar="TEXT", help="what to lead pictures away from, of a guided model")
    model.add_argument(
        "--rng", choices=("fewstep", "torch"), default="fewstep", help="random numbers: fewstep's or torch's"
    )
    model.add_argument("--force", action="store_true", help="run steps and guidance it was not distilled for")
    model.add_argument("-W", "--width", type=integer, metavar="PIXELS", help="the model's width; any other is refused")
    model.add_argument("-H", "--height", type=integer, metavar="PIXELS", help="the model's height, likewise")
    changed = parser.add_argument_group("from what to make it")
    changed.add_argument("--image", metavar="FILE", help="a picture of the model's size to change")
    changed.add_argument("--strength", type=float, help="about the share of the steps that run on it, above 0 to 1")
    changed.add_argument("--mask", metavar="FILE", help="of the image, white where it is made anew (all of it)")
    changed.add_argument("--seed-to", type=integer, metavar="SEED", help="another seed, to mix its first noise in")
    changed.add_argument("--mix", type=float, help="how far to go there, 0 to 1")
    output = parser.add_argument_group("where it goes")
    output.add_argument("-o", "--output", default="out.png", metavar="FILE", help="PNG, JPEG or WebP (out.png)")
    output.add_argument(
        "--layout",
        choices=LAYOUTS,
        default="auto",
        metavar="LAYOUT",
        help="single; numbered: out-0001.png ..., or 0001 for {i} in FILE; sheet: all in one picture; "
        "auto (default): single for one picture, else numbered",
    )
    output.add_argument("--scale", type=integer, default=1, help="enlarge each pixel SCALE times (1)")
    output.add_argument("--json", action="store_true", help="print one JSON object")
    output.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    machine = parser.add_argument_group("what to run it on")
    machine.add_argument("--backend", default="auto", help="auto, onnxruntime, native or torch (auto)")
    machine.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    machine.add_argument("--threads", type=integer, help="CPU threads (the cores this process may use)")
    machine.add_argument("--dtype", choices=DTYPES, help="of a checkpoint, fp32, fp16 or bf16 (fp32 on a CPU)")
    add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from fewstep.api import load
    from fewstep.engine.checks import whole
    from fewstep.engine.picture_file import destination
    from fewstep.engine.request import MAX_N
    from fewstep.engine.result import plan_files
    from fewstep.errors import ContractError

    destination(args.output)
    n = 1 if args.n is None else whole("n", args.n, 1, MAX_N)
    options = given_options(args)
    pipe = load(args.model, backend=args.backend, device=args.device, threads=args.threads, dtype=args.dtype, **options)
    image = pipe.manifest.image
    for name, asked, size in (("width", args.width, image.width), ("height", args.height, image.height)):
        if asked not in (None, size):
            raise ContractError(f"{name}: {pipe.manifest.name} makes {image.width} x {image.height}, got {asked}")
    plan_files(args.output, args.layout, args.scale, n, image.height, image.width)
    show = sys.stderr.isatty() and not args.quiet
    result = pipe(
        args.prompt,
        label=args.label,
        n=n,
        steps=args.steps,
        seed=args.seed,
        guidance=args.guidance,
        negative_prompt=args.negative_prompt,
        rng=args.rng,
        force=args.force,
        image=args.image,
        strength=args.strength,
        mask=args.mask,
        seed_to=args.seed_to,
        mix=args.mix,
        progress=_progress if show else None,
    )
    with interruptible("SIGTERM", "SIGHUP"):
        files = [str(path) for path in result.save(args.output, args.layout, args.scale)]
    if result.unknown_words and not args.quiet:
        words = ", ".join(word[:40] for word in result.unknown_words[:10])
        say(f"fewstep: warning: words not in the model's vocabulary were ignored: {words}")
    for warning in (*result.cut, *(f"forced: {what}" for what in result.forced)):
        if not args.quiet:
            say(f"fewstep: warning: {warning}")
    if args.json:
        report = {
            "model": result.model,
            "backend": pipe.backend.name,
            "device": pipe.backend.device,
            "threads": pipe.backend.threads,
            "schedule": result.schedule,
            "steps": result.steps,
            "seeds": result.seeds,
            "labels": result.labels,
            "unknown_words": result.unknown_words,
            "prompts": result.prompts,
            "guidance": result.guidance,
            "forced": result.forced,
            "cut": result.cut,
            "strength": result.strength,
            "masked": result.masked,
            "seeds_to": result.seeds_to,
            "mix": result.mix,
            "files": files,
            "timings_ms": result.timings.as_dict(),
        }
        print(json.dumps(report))
    elif not args.quiet:
        steps = f"{result.steps} step{'s' if result.steps != 1 else ''}"
        made = [_describe(*image) for image in zip(result.labels, result.seeds, strict=True)]
        if len(files) != len(made):
            made = [f"{len(made)} pictures, the first {made[0]}"]
        for file, picture in zip(files, made, strict=True):
            print(f"{escaped(file)}: {result.model}, {steps}, {picture}")
    return 0


def _describe(labels: Mapping[str, str], seed: int) -> str:
    return ", ".join([*(f"{table} {value}" for table, value in labels.items()), f"seed {seed}"])


def _progress(done: int, n: int) -> None:
    print(f"\rpicture {done} of {n}", end="\n" if done == n else "", file=sys.stderr, flush=True)

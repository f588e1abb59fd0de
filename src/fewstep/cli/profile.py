"""fewstep profile: kernels and whole requests beside their rivals, measured where they run."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewstep.cli.needs import require
from fewstep.cli.parser import Parser, integer
from fewstep.cli.terminal import escaped, say
from fewstep.errors import BackendError, InputError

if TYPE_CHECKING:
    import torch

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
DEVICES = ("auto", "cpu", "cuda")
SIZES = ("full", "tiny")
MAX_ROUNDS = 10_000
CHECKPOINT = "recipes/{0}/checkpoints/{0}"
Rendered = tuple[str, dict[str, Any], Callable[[], bytes]]  # the table, the JSON's fields, the plot


def add_parser(subparsers: "argparse._SubParsersAction[Parser]") -> None:
    text = "measure kernels and whole requests beside eager PyTorch and torch.compile"
    parser = subparsers.add_parser(
        "profile",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. docs/profiling.md says how. Needs pip install 'fewstep[profile]'.",
        usage="fewstep profile kernels|pipeline [options]",
    )
    parser.add_argument("what", choices=("kernels", "pipeline"), metavar="kernels|pipeline", help="what to measure")
    chosen = parser.add_argument_group("which")
    chosen.add_argument("--op", help="kernels: one operation (all)")
    chosen.add_argument("--family", help="kernels: a family's shapes (all); pipeline: a family with random weights")
    chosen.add_argument("-m", "--model", default="toons16", help="pipeline without --family: a shipped model (toons16)")
    chosen.add_argument(
        "--checkpoint", metavar="FOLDER", help="what MODEL was made of (recipes/MODEL/checkpoints/MODEL)"
    )
    chosen.add_argument("--size", choices=SIZES, default="full", metavar="SIZE", help="of FAMILY: full, tiny (full)")
    chosen.add_argument("-n", "--n", type=integer, default=1, metavar="N", help="pipeline: pictures a request (1)")
    chosen.add_argument("--steps", type=integer, help="pipeline: network calls (the model's default)")
    how = parser.add_argument_group("how")
    how.add_argument("--device", choices=DEVICES, default="auto", metavar="DEVICE", help="auto, cpu, cuda (auto)")
    how.add_argument(
        "--dtype", choices=tuple(DTYPES), metavar="DTYPE", help="fp32, bf16, fp16 (as shipped; fp32 on a CPU)"
    )
    how.add_argument("--peers", metavar="A,B", help="some of the peers, by name (all)")
    how.add_argument("--threads", type=integer, help="CPU threads (the cores this process may use)")
    how.add_argument("--rounds", type=integer, default=30, metavar="N", help="measurements of each peer (30)")
    out = parser.add_argument_group("where it goes, besides the table")
    out.add_argument("--json", metavar="FILE", help="one JSON object: machine, ceilings, rows")
    out.add_argument("--plot", metavar="FILE", help="a PNG: roofline and speed, or stages as bars")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Profiles; raises MissingDependencyError without the extra, BackendError without the device, InputError."""
    from fewstep.engine.checks import refuse, whole
    from fewstep.engine.picture_file import check_destination, write_all

    whole("rounds", args.rounds, 1, MAX_ROUNDS)
    needed = ["torch", "triton"] + ["matplotlib"] * (args.plot is not None)
    require("fewstep profile", *needed, extra="profile")
    for name, file in (("json", args.json), ("plot", args.plot)):
        if file is not None:
            if not file or "\0" in file:
                raise refuse(name, "the name of a file", file)
            check_destination(Path(file))
    import torch

    device = _device(args.device, torch.cuda.is_available())
    if args.threads is not None:
        torch.set_num_threads(whole("threads", args.threads, 1, 256))
    table, fields, plot = (_kernels if args.what == "kernels" else _pipeline)(args, device)
    print(table)
    from fewstep.profile.machine import machine

    report = {"what": args.what, "machine": machine(device), "rounds": args.rounds, **fields}
    files = [(Path(args.json), (json.dumps(report) + "\n").encode())] if args.json else []
    files += [(Path(args.plot), plot())] if args.plot else []
    write_all(files)
    return 0


def _kernels(args: argparse.Namespace, device: str) -> Rendered:
    from fewstep.profile.ceilings import measure_ceilings
    from fewstep.profile.kernels import PEERS, Setting, profile, select
    from fewstep.profile.machine import cache_bytes
    from fewstep.profile.plot import kernel_plot
    from fewstep.profile.table import CASES
    from fewstep.profile.text import kernel_table

    cases, peers, dtype = select(CASES, args.op, args.family), _peers(args.peers, PEERS), _dtype(args.dtype, device)
    say("fewstep: measuring the ceilings of a copy and of a matrix product")
    dtypes = {kind for case in cases for kind in case.dtypes} if dtype is None else {dtype}
    ceilings = measure_ceilings(device, sorted(dtypes, key=str))
    setting = Setting(device, cache_bytes(device), ceilings, args.rounds, peers, dtype=dtype)
    rows = []
    for i, case in enumerate(cases, 1):
        say(f"fewstep: {i} of {len(cases)}: {escaped(case.name)}")
        rows += list(profile([case], setting))
    fields = {"ceilings": ceilings.as_dict(), "rows": [row.as_dict() for row in rows]}
    return kernel_table(rows, ceilings), fields, lambda: kernel_plot(rows, ceilings)


def _pipeline(args: argparse.Namespace, device: str) -> Rendered:
    from fewstep.engine.checks import whole
    from fewstep.engine.request import MAX_N
    from fewstep.profile.marks import Marks
    from fewstep.profile.pipeline import profile_requests
    from fewstep.profile.plot import request_plot
    from fewstep.profile.text import request_table

    marks, images = Marks(device), whole("n", args.n, 1, MAX_N)
    if args.family is None:
        from fewstep.profile import shipped

        if device == "cuda":
            raise InputError("pipeline: a shipped model is measured on device cpu; on cuda give a --family")
        makers = shipped.shipped_makers(
            args.model,
            marks,
            checkpoint=Path(args.checkpoint or CHECKPOINT.format(args.model)),
            images=images,
            steps=args.steps,
            threads=args.threads,
            names=_peers(args.peers, shipped.NAMES),
        )
    else:
        from fewstep.profile import family

        makers = family.family_makers(
            args.family,
            marks,
            device=device,
            size=args.size,
            dtype=_dtype(args.dtype, device),
            images=images,
            steps=args.steps,
            names=_peers(args.peers, family.NAMES),
        )
    say(f"fewstep: {args.family or args.model}, {images} picture{'s' * (images > 1)} a request")
    requests = profile_requests(makers, marks, device, args.rounds, lambda name: say(f"fewstep: making {name} ready"))
    fields = {
        "subject": args.family or args.model,
        "size": args.size if args.family else None,
        "images": images,
        "rows": [{"peer": name, **found.as_dict()} for name, found in requests.items()],
    }
    return request_table(requests), fields, lambda: request_plot(requests)


def _device(asked: str, cuda: bool) -> str:
    if asked == "cuda" and not cuda:
        raise BackendError("device cuda: PyTorch finds no CUDA device here; choose device cpu")
    return ("cuda" if cuda else "cpu") if asked == "auto" else asked


def _dtype(asked: str | None, device: str) -> "torch.dtype | None":
    """None: as the cases and families have it, which a CPU computes in fp32."""
    import torch

    kind: torch.dtype = getattr(torch, DTYPES[asked or "fp32"])
    return None if asked is None and device == "cuda" else kind


def _peers(asked: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    names = known if asked is None else tuple(name.strip() for name in asked.split(","))
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"peers: expected some of {', '.join(known)}, got {', '.join(unknown)}")
    return tuple(name for name in known if name in names)

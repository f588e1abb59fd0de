"""Peak memory of SDXL-Turbo at published size, random fp16 weights: python -m benchmarks.memory

A folder of diffusers is loaded and run, exported, its bundle loaded and run, and compiled, each in a process of its
own. `peak_mb` is the largest resident size, pages of mapped files in it; `anonymous_mb` is what is in no file, sampled.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.lowering import alone
from benchmarks.pairing import machine, write_rows

Row = dict[str, Any]
PERIOD = 0.02  # seconds between samples
STATUS = Path("/proc/self/status")


@contextmanager
def watched() -> Iterator[Row]:
    """Filled at the end with seconds and megabytes; `peak_mb` is since the process began."""
    row: Row = {}
    largest, done, start = {"RssAnon": 0, "RssFile": 0}, threading.Event(), time.perf_counter()

    def watch() -> None:
        while not done.wait(PERIOD):
            sizes = _sizes()
            for name in largest:
                largest[name] = max(largest[name], sizes[name])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield row
    finally:
        done.set()
        thread.join()
        row |= {
            "seconds": round(time.perf_counter() - start, 1),
            "peak_mb": _sizes()["VmHWM"] // 1024,
            "anonymous_mb": largest["RssAnon"] // 1024,
            "file_mb": largest["RssFile"] // 1024,
        }


def _sizes() -> dict[str, int]:
    lines = (line.split() for line in STATUS.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[0].startswith(("Vm", "Rss"))}


def write(folder: Path, size: str) -> Row:
    from benchmarks.random_checkpoint import write_sdxl

    with watched() as row:
        write_sdxl(folder / "checkpoint", size)
    return {**row, "bytes": sum(path.stat().st_size for path in folder.rglob("*.safetensors"))}


def load(model: Path, options: Row) -> Row:
    import fewstep

    with watched() as loaded:
        pipe = fewstep.load(model, device="cpu", **options)
    with watched() as ran:
        pipe("abc", n=1, steps=1, seed=3)
    return {"load": loaded, "one step": ran}


def export(folder: Path, side: int) -> Row:
    from fewstep.export.from_checkpoint import Wanted, export_published

    with watched() as row:
        made = export_published(
            folder / "checkpoint", folder / "bundle", Wanted(family="sdxl-turbo", size=(side, side)), progress=tell
        )
    return {**row, "relative_error": made.relative_error}


def tell(what: str) -> None:
    print(what, _sizes()["VmHWM"] // 1024, "MB", flush=True)


def compile_bundle(folder: Path, precision: str) -> Row:
    from fewstep.compilation import compile_plan

    with watched() as row:
        compile_plan(folder / "bundle", folder / "plan.fsp", precision=precision, steps=[1], overwrite=True)
    return {**row, "bytes": (folder / "plan.fsp").stat().st_size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("tiny", "full"), default="full")
    parser.add_argument("--side", type=int, default=64, help="pixels of the image")
    parser.add_argument("--precision", default="float16", help="of the plan")
    parser.add_argument("--folder", type=Path, help="where the files stay, and are taken from if they are there")
    parser.add_argument("--parts", nargs="+", default=["load", "export", "bundle", "compile"])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/memory.local.jsonl"))
    args = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        size = (args.side, args.side)
        tasks: dict[str, tuple[Callable[..., Row], Any]] = {
            "load": (load, (folder / "checkpoint", {"family": "sdxl-turbo", "size": size})),
            "export": (export, (folder, args.side)),
            "bundle": (load, (folder / "bundle", {})),
            "compile": (compile_bundle, (folder, args.precision)),
        }
        if not (folder / "checkpoint").exists():
            rows.append({"part": "write", **alone(write, folder, args.size)})
        for part in args.parts:
            task, given = tasks[part]
            rows.append({"part": part, **alone(task, *given)})
            print(rows[-1], flush=True)
            write_rows(args.out, [{"machine": machine(1), "size": args.size, "side": args.side}, *rows])


if __name__ == "__main__":
    main()

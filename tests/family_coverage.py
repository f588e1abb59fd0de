"""Does the plan of every tiny network compute what onnxruntime does? Exports, compiles and runs each, in both opsets.

python tests/family_coverage.py [NAME ...] [--opset 18 23]: networks whose names begin so. Fails where one is refused or
is off by more than float32's rounding.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from fused_comparison import BOUND, run_onnx
from numpy.typing import NDArray
from tiny_networks import CALLS, B, tiny

from fewstep import _runtime
from fewstep.errors import LoweringError
from fewstep.export.lower.compile_network import compile_network
from fewstep.export.lower.plan_file import write_plan

TRACED = 1e-4  # of the largest value; PyTorch and onnxruntime sum in other orders


def cover(name: str, opset: int, path: Path) -> bool:
    """Prints a row."""
    start = time.process_time()
    network = tiny(name)
    traced = network.run()
    model = network.export(opset)
    try:
        program, weights = compile_network(model, sizes={"B": B}, target={"device": "cpu"}, name=name)
    except LoweringError as refusal:
        print(f"{name:32} {opset} refused: {refusal}", flush=True)
        return False
    write_plan(path, program, weights)
    expected = run_onnx(model, network.arrays())["y"]
    found = [_runtime.Program(path, threads=threads).run(network.arrays())["y"] for threads in (1, 2)]
    error, exported = max(_error(y, expected) for y in found), _error(expected, traced)
    good = error <= BOUND and exported <= TRACED
    mark = "" if good else "  WRONG"
    ops = Counter(op.op for stage in program.stages for op in stage.ops)
    told = " ".join(f"{count} {op}" for op, count in sorted(ops.items()))
    seconds = time.process_time() - start
    print(f"{name:32} {opset} {error:.1e} {exported:.1e} {seconds:5.1f} s  {told}{mark}", flush=True)
    return good


def _error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest difference over the largest value; infinite where either has NaN."""
    error = np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max()
    return float(error) if np.isfinite(error) else float("inf")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--opset", type=int, nargs="+", default=[18, 23])
    args = parser.parse_args()
    chosen = [name for name in CALLS if not args.names or name.startswith(tuple(args.names))]
    print(
        f"{'network':32} opset, the plan's distance from onnxruntime, onnxruntime's from PyTorch, CPU time, operations"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.fsp"
        results = [cover(name, opset, path) for name in chosen for opset in args.opset]
    print(f"{sum(results)} of {len(results)}")
    return int(not all(results) or not results)


if __name__ == "__main__":
    sys.exit(main())

"""One request of each step count, with numpy alone: python -m benchmarks.gpu.one_run PLAN [--device cuda]"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from fewstep._runtime import Program


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(argv)
    program = Program(args.plan, device=args.device)
    given = {name: np.ones(shape, dtype) for name, (dtype, shape) in program.inputs.items()}
    for steps in program.counts:
        made = program.run(given, steps)
        print(steps, {name: (array.dtype.name, array.shape) for name, array in made.items()})
    print(program.describe())
    return 0


if __name__ == "__main__":
    sys.exit(main())

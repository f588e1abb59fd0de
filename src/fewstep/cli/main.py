"""The command `fewstep`. Exit codes: 0, 1 a failure while running, 2 bad input, 130 interrupted."""

import os
import sys
from collections.abc import Sequence
from importlib import metadata

from fewstep.cli import compile, doctor, evaluate, export, generate, inspect, models, profile, verify
from fewstep.cli.parser import Parser
from fewstep.cli.terminal import discard, escaped, interruptible, open_streams, say
from fewstep.engine.telemetry import refuse_telemetry
from fewstep.errors import FewstepError, InputError

COMMANDS = (generate, models, inspect, evaluate, doctor, export, compile, verify, profile)
DEBUG = "FEWSTEP_DEBUG"
MAX_LINE = 4000
USAGE = "fewstep COMMAND [options]"
EPILOG = (
    "Every flag has an environment variable, named in its command's --help. "
    f"{DEBUG}=1 shows the traceback of an unexpected error."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Errors are one line on standard error."""
    open_streams()
    refuse_telemetry()
    try:
        with interruptible("SIGINT"):
            code = _run(argv)
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        discard(sys.stdout)
        return _fail("nobody reads the output any more (broken pipe)", 1)
    except InputError as error:
        return _fail(str(error), 2)
    except FewstepError as error:
        return _fail(str(error), 1)
    except MemoryError:
        return _fail("out of memory; ask for fewer pictures at a time", 1)
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None:  # of a stream: files have names
            discard(sys.stdout)
            return _fail(f"cannot write standard output: {error.strerror or error}", 1)
        if os.environ.get(DEBUG) == "1":
            raise
        return _fail(f"unexpected {type(error).__name__}: {error}; set {DEBUG}=1 for the traceback", 1)


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = make_parser().parse_args(argv)
    except SystemExit as stop:  # argparse's --help and --version
        return stop.code if isinstance(stop.code, int) else 0
    return int(args.run(args))


def make_parser() -> Parser:
    parser = Parser(prog="fewstep", usage=USAGE, description="Pictures from few-step diffusion models.", epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"fewstep {metadata.version('fewstep')}")
    subparsers = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True, prog="fewstep"
    )
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())[:MAX_LINE]
    say(f"fewstep: error: {escaped(line)}")
    return code


if __name__ == "__main__":
    sys.exit(main())

"""Command-line arguments: argparse with one-line errors and an environment variable for every flag.

--steps of any command is also FEWSTEP_STEPS. What is given on the command line wins.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from fewstep.errors import InputError

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

PREFIX = "FEWSTEP_"
SWITCHES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
NO_VARIABLE = ("help", "version")
MAX_DIGITS = 40


class Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        options.setdefault("usage", f"{options.get('prog', 'fewstep')} [options]")
        super().__init__(formatter_class=Formatter, allow_abbrev=False, **options)

    @property
    def flags(self) -> list[argparse.Action]:
        """Every option but --help and --version."""
        return [action for action in self._actions if action.option_strings and action.dest not in NO_VARIABLE]

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        for action in self.flags:
            text = os.environ.get(variable(action))
            if text is not None:
                self.set_defaults(**{action.dest: self._read_variable(action, text)})
                action.required = False
        return super().parse_known_args(args, namespace)

    def _read_variable(self, action: argparse.Action, text: str) -> object:
        name = variable(action)
        if action.nargs == 0:
            if text.lower() not in SWITCHES:
                self.error(f"{name}: expected one of {', '.join(SWITCHES)}, got {text!r}")
            return SWITCHES[text.lower()]
        try:
            value = action.type(text) if callable(action.type) else text
        except (argparse.ArgumentTypeError, ValueError, TypeError) as error:
            self.error(f"{name}: {error}")
        if action.choices is not None and value not in action.choices:
            self.error(f"{name}: expected one of {', '.join(map(str, action.choices))}, got {text!r}")
        return value

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        """argparse's own hides that a help text could not be written."""
        (file or sys.stdout).write(message)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


class Formatter(argparse.HelpFormatter):
    """The same help on every Python: "-s, --seed SEED", and the flag's variable at the end of its text."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=28)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return ", ".join(action.option_strings) or super()._format_action_invocation(action)
        return f"{', '.join(action.option_strings)} {action.metavar or action.dest.upper()}"

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if not action.option_strings or action.dest in NO_VARIABLE:
            return action.help
        return f"{action.help or ''} [{variable(action)}]"


def variable(action: argparse.Action) -> str:
    """The environment variable of a flag: FEWSTEP_ and its long name."""
    longest = max(action.option_strings, key=len)
    return PREFIX + longest.lstrip("-").replace("-", "_").upper()


def integer(text: str) -> int:
    """A whole number in plain digits, for argparse."""
    if len(text) > MAX_DIGITS or not re.fullmatch(r"[+-]?[0-9]+", text):
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text[:60]!r}")
    return int(text)


def label(text: str) -> str | Mapping[str, str]:
    """A label's name, or table=value pairs with commas between them, for argparse."""
    if "=" not in text:
        return text
    pairs = [part.partition("=")[::2] for part in text.split(",")]
    labels = {table.strip(): value.strip() for table, value in pairs}
    if len(labels) != len(pairs) or not all(table and value for table, value in labels.items()):
        raise argparse.ArgumentTypeError(f"expected a label such as class=critters,color=green, got {text[:60]!r}")
    return labels


def size(text: str) -> tuple[int, int]:
    """(height, width) of 768x512, width first as people write it, for argparse."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected a width and a height such as 512x512, got {text[:60]!r}")
    return int(found[2]), int(found[1])


def loras(text: str) -> tuple[tuple[str, float], ...]:
    """Files with commas between them, each perhaps with =STRENGTH, for argparse."""
    found = []
    for part in text.split(","):
        file, _, strength = part.partition("=")
        try:
            found.append((file, float(strength or 1)))
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected FILE or FILE=STRENGTH, got {part[:60]!r}") from None
    return tuple(found)

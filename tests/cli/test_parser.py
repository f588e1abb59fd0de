import re

import pytest

from fewstep.cli.main import COMMANDS, make_parser
from fewstep.cli.parser import Parser, integer, label, variable
from fewstep.errors import InputError


def parse(*argv: str) -> dict[str, object]:
    return vars(make_parser().parse_args(argv))


def test_a_flag_wins_over_its_variable_and_the_variable_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse("generate")["steps"] is None
    monkeypatch.setenv("FEWSTEP_STEPS", "4")
    monkeypatch.setenv("FEWSTEP_MODEL", "other")
    monkeypatch.setenv("FEWSTEP_LABEL", "class=critters,color=green")
    monkeypatch.setenv("FEWSTEP_JSON", "yes")
    args = parse("generate", "--steps", "2")
    assert (args["steps"], args["model"], args["json"]) == (2, "other", True)
    assert args["label"] == {"class": "critters", "color": "green"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("STEPS", "two", "FEWSTEP_STEPS: expected a whole number, got 'two'"),
        ("SEED", "1.5", "FEWSTEP_SEED: expected a whole number, got '1.5'"),
        ("N", "", "FEWSTEP_N: expected a whole number, got ''"),
        ("LAYOUT", "grid", "FEWSTEP_LAYOUT: expected one of auto, single, numbered, sheet, got 'grid'"),
        ("JSON", "maybe", "FEWSTEP_JSON: expected one of 1, true, yes, on, 0, false, no, off, got 'maybe'"),
        ("LABEL", "class=", "FEWSTEP_LABEL: expected a label such as"),
    ],
)
def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, text: str, message: str) -> None:
    monkeypatch.setenv(f"FEWSTEP_{name}", text)
    with pytest.raises(InputError, match=message):
        parse("generate")
    parse("doctor") if name != "JSON" else None  # another command's flag is not its business


def test_every_flag_of_every_command_has_a_variable_named_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        with pytest.raises(SystemExit):
            parse(name, "--help")
        text = capsys.readouterr().out
        assert "-h, --help" in text
        flags = re.findall(r"^  (?:-\w, )?--([\w-]+)", text, re.MULTILINE)
        variables = [f"FEWSTEP_{flag.replace('-', '_').upper()}" for flag in flags if flag != "help"]
        assert re.findall(r"\[(FEWSTEP_\w+)\]", text) == variables, name


def test_a_variable_can_be_what_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = Parser(prog="p")
    action = parser.add_argument("-o", "--out-put", required=True)
    assert variable(action) == "FEWSTEP_OUT_PUT"
    with pytest.raises(InputError, match="required"):
        parser.parse_args([])
    monkeypatch.setenv("FEWSTEP_OUT_PUT", "x")
    assert parser.parse_args([]).out_put == "x"


@pytest.mark.parametrize("text", ["1.5", "1e3", "0x7", "", " 7", "1_000", "\u0667", "+", "9" * 41, "nan", "True"])
def test_what_is_no_integer(text: str) -> None:
    with pytest.raises(InputError, match="--seed: expected a whole number"):
        parse("generate", "--seed", text)


def test_integers_and_labels() -> None:
    assert [integer(text) for text in ("7", "-1", "+3", str(2**64))] == [7, -1, 3, 2**64]
    assert label("planets") == "planets" and label("class = a b, color=c") == {"class": "a b", "color": "c"}


@pytest.mark.parametrize("text", ["=", "class=", "=x", "class=a,", "class=a,class=b", "class=a,b"])
def test_what_is_no_label(text: str) -> None:
    with pytest.raises(InputError, match="--label: expected a label such as"):
        parse("generate", "--label", text)

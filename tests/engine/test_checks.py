"""Values that are huge or odd: refused with InputError, in a message that stays short and on one line."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.api import open_model
from fewstep.engine import checks
from fewstep.engine.bundle_manifest import LabelTable
from fewstep.engine.checks import short
from fewstep.engine.schedule import Schedule, schedule
from fewstep.engine.vocabulary import Vocabulary
from fewstep.errors import InputError

VOCABULARY = Vocabulary((LabelTable("class", ("one", "two"), 2),))
HUGE: dict[str, Any] = {
    "list": [0.5] * 10**6,
    "tuple": (0.5,) * 10**6,
    "array": np.full(10**6, np.nan),
    "integer": 10**100_000,
    "negative": -(10**100_000),
    "text": "x" * 10**6,
    "bytes": b"x" * 10**6,
    "escapes": "\x1b" * 10**6,
    "keys": {str(i): i for i in range(10**5)},
    "wide": [[[[[["x" * 300] * 9] * 9] * 9] * 9] * 9] * 9,
}
CHECKS: dict[str, Callable[[Any], object]] = {
    "whole": lambda value: checks.whole("where", value, 0, 9),
    "real": lambda value: checks.real("where", value, 0, 9),
    "flag": lambda value: checks.flag("where", value),
    "choice": lambda value: checks.choice("where", value, ("one", "two")),
    "text": lambda value: checks.text("where", value, 99),
    "identifier": lambda value: checks.identifier("where", value),
    "file_name": lambda value: checks.file_name("where", value),
    "sequence": lambda value: checks.sequence("where", value, 2, 3),
    "numbers": lambda value: checks.numbers("where", value, 3),
    "descending": lambda value: checks.descending("where", value, 3, 0, 1),
    "times": lambda value: schedule("trigflow", 2, times=value),
    "clip_sample": lambda value: schedule("ddim", 2, clip_sample=value),
    "steps": lambda value: schedule("lcm", value),
    "schedule": lambda value: schedule(value, 2),
    "trained_betas": lambda value: schedule("lcm", 2, trained_betas=value),
    "option": lambda value: schedule("lcm", 2, **{str(type(value)) * 10**4: value}),
    "diffusers": lambda value: Schedule.from_diffusers({"_class_name": "LCMScheduler", "beta_schedule": value}, 2),
    "model": lambda value: open_model(value),
    "label": lambda value: VOCABULARY.resolve(value),
    "label's value": lambda value: VOCABULARY.resolve({"class": value}),
    "prompt": lambda value: VOCABULARY.parse(value),
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("value", HUGE.values(), ids=HUGE)
def test_a_huge_value_is_refused_shortly(check: Callable[[object], object], value: object) -> None:
    with pytest.raises(InputError) as error:
        check(value)
    assert len(str(error.value)) < 1000 and str(error.value).isprintable()


@pytest.mark.parametrize("value", [0, -7, 2**64 - 1, 1.5, True, None, "text", "it's", [1, 2.5], ("a", [3]), {"a": 1}])
def test_a_value_of_everyday_size_is_shown_as_it_is(value: object) -> None:
    assert short(value) == repr(value)


@given(st.recursive(st.integers() | st.text() | st.floats(), lambda part: st.lists(part) | st.tuples(part, part)))
def test_any_value_is_shown_in_a_bounded_line(value: object) -> None:
    assert len(short(value)) <= checks.MAX_SHOWN + 3


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({}, "a finite number"),
        ({"low": 0}, "a finite number from 0"),
        ({"low": 0, "above": True}, "a finite number above 0"),
        ({"low": 0, "high": 1}, "a number from 0 to 1"),
        ({"low": 0, "high": 1, "above": True}, "a number above 0 and up to 1"),
    ],
)
def test_a_refused_number_is_told_its_bounds(bounds: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"^eta: expected {message}, got nan$"):
        checks.real("eta", math.nan, **bounds)


@pytest.mark.parametrize("value", [True, 2.0, "2", None, [2], 10**400, -1, math.nan], ids=lambda value: repr(value)[:9])
def test_a_whole_number_is_an_int_of_the_range(value: object) -> None:
    with pytest.raises(InputError, match="n: expected an integer from 0 to 9"):
        checks.whole("n", value, 0, 9)


@pytest.mark.parametrize("value", [True, 10**400, "1", None, 1j, math.inf], ids=lambda value: repr(value)[:9])
def test_a_real_number_is_finite_and_fits_a_float(value: object) -> None:
    with pytest.raises(InputError, match="eta: expected a finite number, got"):
        checks.real("eta", value)


def test_numpy_scalars_become_plain() -> None:
    assert type(checks.whole("n", np.int64(3), 0, 9)) is int
    assert type(checks.real("eta", np.float32(0.5))) is float


def test_one_legal_choice_is_named_alone() -> None:
    with pytest.raises(InputError, match=r"^format: expected only, got 'other'$"):
        checks.choice("format", "other", ("only",))
    with pytest.raises(InputError, match=r"^kind: expected one of a, b, got 'c'$"):
        checks.choice("kind", "c", {"b", "a"})

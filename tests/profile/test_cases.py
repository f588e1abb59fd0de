"""Every case measures one thing: what the kernel returns is what its reference returns."""

from fewstep.profile.accuracy import outputs
from fewstep.profile.table import CASES


def test_every_case_describes_what_its_reference_returns() -> None:
    for case in CASES:
        for dtype in case.dtypes:
            inputs = case.make("meta", dtype, 0)
            wanted, made = outputs(case.reference(**inputs)), outputs(case.launches(**inputs)[0])
            assert made, case.name
            for out, true in zip(made, wanted, strict=False):
                assert (out.shape, out.dtype) == (true.shape, true.dtype), case.name
            cost = case.cost(**inputs)
            assert cost.bytes > 0 and cost.flop >= 0, case.name


def test_names_tell_cases_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES)

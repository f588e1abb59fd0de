"""The parity tests can fail: a coefficient that is wrong by 0.1 % is noticed, whichever it is."""

from typing import Any

import pytest
from diffusers_parity import TOLERANCE, Case, mutants, run_diffusers, step_errors, trajectory_error

LATENT: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def case(name: str, steps: int = 3, step_options: dict[str, Any] | None = None, **settings: Any) -> Case:
    return Case({"_class_name": f"{name}Scheduler", **settings}, steps, step_options=step_options or {})


# the columns each case must put to the test
CASES: list[tuple[Case, str]] = [
    (case("LCM"), "s_in a b c"),
    (case("LCM", clip_sample=True, clip_sample_range=4.0), "s_in c p q d r"),
    (case("TCD", step_options={"eta": 0.3}), "s_in a b c"),
    (case("EulerDiscrete", **LATENT), "s_in a b"),
    (
        case("EulerAncestralDiscrete", **LATENT, prediction_type="v_prediction", timestep_spacing="trailing"),
        "s_in a b c",
    ),
    (
        case("DDIM", step_options={"eta": 0.5}, prediction_type="v_prediction", **LATENT, clip_sample_range=2.0),
        "s_in a b c p q d r",
    ),
    (case("DDPM", **LATENT, clip_sample_range=4.0, timestep_spacing="trailing"), "s_in a c p q d r"),
    (case("DPMSolverMultistep", **LATENT), "s_in a p q d e"),
    (case("CMStochasticIterative"), "s_in c p q d r"),
    (case("FlowMatchEulerDiscrete", shift=3.0), "s_in a b"),
    (case("FlowMatchLCM", shift=3.0), "s_in a b c"),
    (case("FlowMatchHeunDiscrete", shift=3.0), "s_in a b e q"),
    (case("FlowMapEulerDiscrete", shift=3.0), "s_in a b"),
    (case("LTXEulerAncestralRF", shift=3.0), "s_in a b c"),
    (case("SCM", 2), "s_in a b c"),
]


@pytest.mark.parametrize(("case", "columns"), CASES, ids=[case.config["_class_name"] for case, _ in CASES])
@pytest.mark.parametrize("factor", [1.001, 0.999])
def test_a_coefficient_off_by_a_thousandth_is_noticed(case: Case, columns: str, factor: float) -> None:
    schedule, reference = case.schedule(), run_diffusers(case)
    tried = set()
    for column, i, mutant in mutants(schedule, reference, factor):
        errors = step_errors(mutant, reference)
        assert max(errors) > TOLERANCE, f"{column}[{i}]: errors {errors}"
        tried.add(column)
    assert tried >= set(columns.split())


@pytest.mark.parametrize("column", ["init", "out_scale"])
def test_a_scale_off_by_a_thousandth_is_noticed(column: str) -> None:
    case = CASES[3][0]
    schedule, reference = case.schedule(), run_diffusers(case)
    object.__setattr__(schedule, column, getattr(schedule, column) * 1.001)
    assert trajectory_error(schedule, reference) > TOLERANCE


@pytest.mark.parametrize("column", ["tau", "draws"])
def test_a_wrong_time_or_draw_is_noticed(column: str) -> None:
    case = CASES[0][0]
    schedule, reference = case.schedule(), run_diffusers(case)
    values = getattr(schedule, column).copy()
    values[0] = values[0] * 1.001 if column == "tau" else 0.0
    object.__setattr__(schedule, column, values)
    assert step_errors(schedule, reference)[0] > TOLERANCE


def test_a_draw_too_many_is_noticed_in_the_generator() -> None:
    case = CASES[0][0]
    schedule, reference = case.schedule(), run_diffusers(case)
    values = schedule.draws.copy()
    values[-1] = 1.0
    object.__setattr__(schedule, "draws", values)
    assert trajectory_error(schedule, reference) == float("inf")

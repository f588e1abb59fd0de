"""schedule(): the reference numbers, and every illegal request."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewstep.engine.schedule import SAMPLERS, legal_options, schedule
from fewstep.engine.table import COLUMNS
from fewstep.errors import InputError

REFERENCE = json.loads((Path(__file__).parents[1] / "data" / "schedules.json").read_text())
CASES = REFERENCE["cases"]


@pytest.mark.parametrize("case", CASES, ids=[f"{case['title']} N={case['steps']}" for case in CASES])
def test_reference_numbers(case: dict[str, Any]) -> None:
    table = schedule(case["name"], case["steps"], **case["options"])
    assert len(table) == case["steps"]
    for column in (*COLUMNS, "init", "out_scale"):
        if column in case:
            expected = np.array(case[column], np.float64)
            np.testing.assert_allclose(getattr(table, column), expected, rtol=1e-5, atol=1e-10, err_msg=column)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 4])
def test_every_sampler_has_few_step_tables(name: str, steps: int) -> None:
    table = schedule(name, steps)
    assert table.name == name
    assert len(table) == (2 * steps - 1 if name == "flow-heun" else steps)
    assert table == schedule(name.replace("-", "_"), steps)
    assert not table.c[-1] > 1e-9


VP = ["lcm", "tcd", "euler", "euler-ancestral", "add-demo", "ddim", "ddpm", "dpmpp-2m"]
FLOW = ["flow-euler", "flow-stochastic", "flow-heun", "flow-map-euler", "flow-ancestral"]


@pytest.mark.parametrize("steps", [0, -1, 1.5, 2.0, True, "2", None, math.nan, 10**7, [2]], ids=repr)
@pytest.mark.parametrize("name", SAMPLERS)
def test_illegal_step_counts(name: str, steps: Any) -> None:
    with pytest.raises(InputError, match=r"steps .*expected an integer from 1 to \d+"):
        schedule(name, steps)


@pytest.mark.parametrize("name", ["ddimm", "", "DDIM", None, 3, ["ddim"]], ids=repr)
def test_unknown_names_list_the_legal_ones(name: Any) -> None:
    with pytest.raises(InputError, match=r"expected one of add-demo, .*trigflow"):
        schedule(name, 2)


@pytest.mark.parametrize("name", SAMPLERS)
def test_unknown_options_list_the_legal_ones(name: str) -> None:
    with pytest.raises(InputError) as caught:
        schedule(name, 2, tempo=3)
    assert "got 'tempo'" in str(caught.value)
    for option in legal_options(name):
        assert option in str(caught.value)


ILLEGAL: list[tuple[str, int, dict[str, Any]]] = [
    *((name, 2, {"prediction_type": value}) for name in VP for value in ("eps", None, 1)),
    *((name, 2, {"num_train_timesteps": value}) for name in VP for value in (0, 1, 2.5, True, "9")),
    *((name, 2, {"beta_start": value}) for name in VP for value in (0, -1, 1.5, math.nan, "a", True, 0.5)),
    *((name, 2, {"beta_schedule": "cubic"}) for name in VP),
    *((name, 2, {"rescale_betas_zero_snr": 1}) for name in VP),
    *((name, 2, {"trained_betas": [0.1, 0.2]}) for name in VP),
    *(
        (name, 2, {"alphas_cumprod": value})
        for name in VP
        for value in ([], [0.5], [0.2, 0.9], [1.0, 0.5], [0.5, -0.1])
    ),
    *((name, 2, {"alphas_cumprod": value}) for name in VP for value in (0.5, [0.9, math.nan], "abc", [[0.9, 0.5]])),
    *(
        (name, 2, {"timesteps": value})
        for name in ("lcm", "tcd", "ddpm", "dpmpp-2m", "dmd2")
        for value in ([999.5, 1], 7)
    ),
    *(
        (name, 2, {"timesteps": value})
        for name in ("lcm", "tcd", "ddpm", "dpmpp-2m", "dmd2", "euler", "cm", "flow-euler", "add-demo")
        for value in ([1, 999], [9, 9], [10**4, 1], [5, -1], [5], [5, 4, 3], [math.nan, 1], ["a", "b"], [True, False])
    ),
    *(
        (name, 2, {"sigmas": value})
        for name in FLOW
        for value in ([0.5, 0.9], [1.5, 0.5], [0.5, 0.0], [1.0], [1.0, 0.5, 0.2], [math.inf, 0.5], "ab")
    ),
    *((name, 2, {"shift": value}) for name in FLOW for value in (0, -1, math.nan, math.inf, None, True, "3")),
    *((name, 2, {"mu": value}) for name in FLOW for value in (math.nan, 1e4, "1", True)),
    *((name, 2, {"mu": 1.0, "time_shift_type": "cubic"}) for name in FLOW),
    *((name, 2, {"timestep_spacing": "leading"}) for name in FLOW),
    *((name, 2, {"shift_terminal": value}) for name in FLOW for value in (0, 2, math.nan)),
    ("flow-euler", 1, {"shift_terminal": 0.1}),
    *(
        (name, 2, {"eta": v})
        for name in ("tcd", "ddim", "add-demo", "flow-ancestral")
        for v in (-0.1, 1.1, math.nan, True)
    ),
    *(
        (name, 2, {"timestep_spacing": value})
        for name in ("euler", "ddim", "ddpm", "dpmpp-2m")
        for value in ("x", None, 3)
    ),
    *(
        (name, 2, {"timestep_spacing": "leading", "steps_offset": 1000})
        for name in ("euler", "ddim", "ddpm", "dpmpp-2m")
    ),
    *((name, 2, {"original_inference_steps": value}) for name in ("lcm", "tcd") for value in (1, 0, 1001, 2.0, None)),
    *(
        (name, 2, {"sigma_data": value})
        for name in ("cm", "ctm", "imm", "scm", "trigflow")
        for value in (0, -1, math.nan)
    ),
    *((name, 2, {"sigma_min": value}) for name in ("cm", "ctm") for value in (0, 81, math.nan)),
    *((name, 2, {"clip_sample": value}) for name in ("lcm", "ddim", "ddpm") for value in (1, None)),
    *((name, 2, {"clip_sample": True, "clip_sample_range": 0}) for name in ("lcm", "ddim", "ddpm")),
    ("cm", 41, {}),
    ("cm", 2, {"timesteps": [0, 22]}),
    ("cm", 2, {"timesteps": [40, 0]}),
    ("lcm", 51, {}),
    *(("dmd2", steps, {}) for steps in (2, 3, 5)),
    ("euler", 2, {"timesteps": [9, 1], "timestep_spacing": "x"}),
    ("lcm", 2, {"clip_sample_range": math.nan}),
    ("add-demo", 5, {}),
    ("add-demo", 2, {"num_train_timesteps": 500}),
    ("ddim", 1001, {}),
    ("ddpm", 2, {"variance_type": "learned"}),
    ("dpmpp-2m", 2, {"solver_order": 3}),
    ("dpmpp-2m", 2, {"solver_type": "euler"}),
    ("euler", 2, {"sigmas": [1.0, 0.5]}),
    ("euler", 2, {"sigmas": [1.0, 2.0, 0.0]}),
    ("euler", 2, {"timesteps": [9, 1], "use_karras_sigmas": True}),
    ("euler", 2, {"use_karras_sigmas": True, "sigma_min": 99.0}),
    ("euler", 2, {"final_sigmas_type": "half"}),
    ("euler", 2, {"s_churn": -1}),
    ("euler", 2, {"s_tmax": math.nan}),
    ("trigflow", 2, {"times": [1.0]}),
    ("trigflow", 2, {"times": [1.0, 1.2]}),
    ("trigflow", 2, {"times": [2.0, 1.0]}),
    ("trigflow", 2, {"times": [1.0, 0.0]}),
    ("trigflow", 2, {"times": [1.0, -0.5]}),
    ("trigflow", 2, {"times": [math.nan, 0.5]}),
    ("trigflow", 2, {"noise_fraction": 1.5}),
    ("trigflow", 2, {"out_scale": 0}),
    ("scm", 2, {"timesteps": [1.5, 1.0]}),
    ("scm", 2, {"max_timesteps": 2.0}),
    ("scm", 2, {"intermediate_timesteps": 1.6}),
    ("scm", 3, {"intermediate_timesteps": 1.3}),
    ("sana-sprint", 3, {"intermediate_timesteps": 1.3}),
    *(("shortcut", steps, {}) for steps in (3, 6, 12, 256)),
    *(
        (name, 2, {"times": value})
        for name in ("meanflow", "imm")
        for value in ([1.0], [0.2, 0.5], [1.1, 0.5], [1.0, 0.0])
    ),
    ("imm", 2, {"parameterization": "identity"}),
    ("imm", 2, {"restart": 1}),
    ("ctm", 2, {"gamma": 1.1}),
    ("ddgan", 2, {"beta_max": 0.01}),
    *((name, 2, {"rescale_betas_zero_snr": True}) for name in ("tcd", "lcm", "ddim", "ddpm")),
]


@pytest.mark.parametrize(("name", "steps", "options"), ILLEGAL, ids=repr)
def test_illegal_values_say_what_is_legal(name: str, steps: int, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"expected .*got"):
        schedule(name, steps, **options)


def test_huge_integers_are_refused_not_overflowed() -> None:
    with pytest.raises(InputError, match="eta"):
        schedule("ddim", 2, eta=10**400)

"""The table itself: validated, frozen, comparable; the loop that runs it; guidance."""

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewstep.engine.checks import Array
from fewstep.engine.sampling import advance, sample
from fewstep.engine.schedule import SAMPLERS, schedule
from fewstep.engine.table import COLUMNS, Schedule
from fewstep.errors import InputError

NOISE = np.random.default_rng(0).normal(size=(9, 2, 3, 4, 4))


def curved(u: Any, *times: float) -> Any:
    """A network that is not linear, on numpy and torch."""
    return 0.7 * u / (1 + u * u) + 1e-3 * sum(times)


def two_heads(u: Any, *times: float) -> Any:
    return curved(u, *times), 0.3 * u - 0.1


def numpy_draw(dtype: Any) -> Any:
    return lambda i: NOISE[1 + i].astype(dtype)


@pytest.mark.parametrize("name", SAMPLERS)
def test_any_array_library_gives_the_same(name: str) -> None:
    table = schedule(name, 4)
    in_numpy = sample(table, curved, NOISE[0], numpy_draw(np.float64))
    in_torch = sample(table, curved, torch.from_numpy(NOISE[0]), lambda i: torch.from_numpy(NOISE[1 + i]))
    np.testing.assert_allclose(in_numpy, in_torch.numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", ["meanflow", "shortcut", "imm", "ctm", "flow-map-euler"])
def test_networks_of_two_times_are_told_the_target_when_asked(name: str) -> None:
    table, told = schedule(name, 4), []

    def network(u: Any, *times: float) -> Any:
        told.append(times)
        return curved(u)

    assert table.two_times
    sample(table, network, NOISE[0], numpy_draw(float))
    sample(table, network, NOISE[0], numpy_draw(float), with_target=True)
    assert told == [(tau,) for tau in table.tau] + list(zip(table.tau, table.target, strict=True))


@pytest.mark.parametrize("name", SAMPLERS)
def test_float32_state_stays_float32(name: str) -> None:
    table = schedule(name, 4)
    exact = sample(table, curved, NOISE[0], numpy_draw(np.float64))
    single = sample(table, curved, NOISE[0].astype(np.float32), numpy_draw(np.float32))
    in_torch = sample(
        table, curved, torch.from_numpy(NOISE[0]).float(), lambda i: torch.from_numpy(NOISE[1 + i]).float()
    )
    assert single.dtype == np.float32 and in_torch.dtype == torch.float32
    np.testing.assert_allclose(single, exact, rtol=1e-4, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("name", SAMPLERS)
def test_draw_is_called_exactly_where_the_reference_draws(name: str) -> None:
    table = schedule(name, 4)
    asked: list[int] = []

    def draw(i: int) -> Array:
        asked.append(i)
        z: Array = NOISE[1 + i]
        return z

    sample(table, curved, NOISE[0], draw)
    assert asked == np.flatnonzero(table.draws).tolist()


@pytest.mark.parametrize("name", ["lcm", "dpmpp-2m", "flow-heun", "cm", "ctm"])
@pytest.mark.parametrize("kind", ["none", "null", "strong", "rising"])
def test_guidance_folds_into_the_coefficients(name: str, kind: str) -> None:
    table = schedule(name, 4)
    guidance = {"none": 1.0, "null": 0.0, "strong": 7.5, "rising": np.linspace(1, 3, len(table)).tolist()}[kind]
    shares = iter(np.broadcast_to(guidance, len(table)).tolist())

    def combined(u: Any, *times: float) -> Any:
        g, (null, cond) = next(shares), two_heads(u, *times)
        return (1 - g) * null + g * cond

    out = sample(table.guided(guidance), two_heads, NOISE[0], numpy_draw(float))
    np.testing.assert_allclose(out, sample(table, combined, NOISE[0], numpy_draw(float)), rtol=1e-9)


@pytest.mark.parametrize("guidance", [float("nan"), float("inf"), True, "2", [1.0], None], ids=repr)
def test_illegal_guidance(guidance: Any) -> None:
    with pytest.raises(InputError, match="guidance"):
        schedule("lcm", 2).guided(guidance)


def test_columns_cannot_be_written() -> None:
    table = schedule("trigflow", 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.init = 3.0  # type: ignore[misc]
    for column in COLUMNS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(table, column)[0] = 3.0
        with pytest.raises(ValueError, match="WRITEABLE"):
            getattr(table, column).flags.writeable = True
        assert getattr(table, column).dtype == np.float64


def test_equal_tables_are_equal_keys() -> None:
    table = schedule("cm", 3)
    assert {table: 1}[schedule("cm", 3)] == 1
    assert table != schedule("cm", 2) and table != dataclasses.replace(table, name="other")
    assert pickle.loads(pickle.dumps(table)) == table == copy.deepcopy(table)
    with pytest.raises(ValueError, match="read-only"):
        pickle.loads(pickle.dumps(table)).a[0] = 1.0


@pytest.mark.parametrize(
    "change",
    [
        {"a": [1.0]},
        {"tau": []},
        {"b": [[1.0, 2.0]]},
        {"a": [1.0, np.nan]},
        {"tau": [1.0, np.inf]},
        {"r": [1.0, 0.0]},
        {"r": [1.0, np.nan]},
        {"draws": [0.5, 0.0]},
        {"draws": [0.0, 0.0]},
        {"c": [-1.0, 0.0]},
        {"e": [1.0, 0.0]},
        {"target": [np.inf, 0.0]},
        {"init": 0.0},
        {"init": np.nan},
        {"out_scale": True},
    ],
    ids=repr,
)
def test_illegal_tables_are_refused(change: dict[str, Any]) -> None:
    table = schedule("trigflow", 2)
    legal = {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}
    assert Schedule(**legal) == table
    with pytest.raises(InputError, match=r"expected .*got"):
        Schedule(**{**legal, **change})


@given(st.integers(1, 8), st.floats(0.1, 3), st.floats(-3, 3), st.floats(0.1, 2))
def test_advance_is_the_general_form(N: int, a: float, b: float, r: float) -> None:
    column = np.full(N, 0.5)
    first = np.append(0.0, np.full(N - 1, 0.25))
    ones = np.ones(N)
    table = Schedule(
        "any", 1.0, 1.0, ones, ones, a * ones, b * ones, column, ones, b * ones, column, first, r * ones, ones,
        0 * ones, ones, ones,
    )  # fmt: skip
    x, h = NOISE[0], np.zeros_like(NOISE[0])
    for i in range(N):
        m, z = curved(x), NOISE[1 + i]
        y = np.clip(x + b * m, -r, r)
        expected = a * x + b * m + 0.5 * y + first[i] * h + 0.5 * z
        got, saved = advance(table, i, x, m, h if i else None, z)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
        if saved is not None:
            np.testing.assert_allclose(saved, y)
        x, h = expected, y


def test_terms_of_weight_zero_are_left_out() -> None:
    """CM forgets its state: what was infinite there does no harm."""
    out, _ = advance(schedule("dpmpp-2m", 1), 0, np.array([2.0]), np.array([1.0]), None, None)
    assert np.isfinite(out).all()
    table = dataclasses.replace(schedule("cm", 2), p=np.zeros(2))
    out, _ = advance(table, 0, np.array([np.inf]), np.array([0.5]), None, np.array([0.0]))
    assert np.isfinite(out).all()

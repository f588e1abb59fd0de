import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels import tuned as tuned_module
from fewstep.kernels.ada_norm import ada_norm_launches, ada_norm_ref
from fewstep.kernels.tuned import tuned, untuned
from fewstep.kernels.tuner import Found, neighbours, tune, write

MEASURED = {"device": "a card", "triton": "3.9.0", "date": "2026-01-02"}
COSTS = {1: 4.0, 2: 3.0, 4: 1.0, 8: 2.0}  # seconds by BLOCK_N


class Clock:
    """Seconds by BLOCK_N, read from what the function under the clock was described with."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.block = 0

    def launches(self, **arguments: Any) -> Any:
        result = ada_norm_launches(**arguments)
        self.block = result[1][0].config["BLOCK_N"]
        return result

    def __call__(self, run: Callable[[], None]) -> float:
        run()
        return 1.0 + self.scale * COSTS.get(self.block, 9.0)


@pytest.fixture
def x(device: str) -> Tensor:
    return torch.randn(1, 8, 16, device=device)


def agrees(x: Tensor) -> Callable[[Tensor], bool]:
    return lambda y: torch.allclose(y, ada_norm_ref(x), atol=1e-5)


def test_the_fastest_candidate_wins(x: Tensor) -> None:
    clock = Clock()
    candidates = [{"BLOCK_N": n} for n in COSTS]
    found = tune(clock.launches, {"x": x}, agrees(x), clock, candidates)
    assert (found.op, found.key, found.config) == ("ada_norm", "1x8x16 torch.float32", {"BLOCK_N": 4})
    assert found.seconds == 2.0 and found.timed == 5 and found.refused == {}


def test_without_candidates_it_climbs_from_its_own_choice(x: Tensor) -> None:
    clock = Clock()
    found = tune(clock.launches, {"x": x}, agrees(x), clock)
    assert found.seconds == 2.0 < found.own_seconds
    assert found.config is not None and found.config["BLOCK_N"] == 4


def test_what_is_hardly_faster_is_not_written(x: Tensor) -> None:
    clock = Clock(scale=1e-3)
    found = tune(clock.launches, {"x": x}, agrees(x), clock, [{"BLOCK_N": n} for n in COSTS])
    assert found.config is None and found.seconds == found.own_seconds


def test_wrong_outputs_and_refused_settings_are_never_chosen(x: Tensor) -> None:
    clock = Clock()
    right = agrees(x)
    found = tune(
        clock.launches, {"x": x}, lambda y: right(y) and clock.block != 4, clock,
        [{"BLOCK_N": 4}, {"BLOCK_N": 3}, {"BLOCK_N": 8}],
    )  # fmt: skip
    assert found.config is None or found.config == {"BLOCK_N": 8}
    assert found.refused['{"BLOCK_N": 4}'] == "wrong" and "power of 2" in found.refused['{"BLOCK_N": 3}']


def test_an_operation_that_is_wrong_by_itself_is_an_error(x: Tensor) -> None:
    with pytest.raises(InputError, match="its own choice fails: wrong"):
        tune(ada_norm_launches, {"x": x}, lambda y: False, Clock(), [])
    with pytest.raises(InputError, match="never asks"):
        tune(lambda **_: (None, []), {}, lambda y: True, Clock(), [])


def test_neighbours_differ_in_one_setting() -> None:
    found = list(neighbours({"BLOCK_N": 1, "num_warps": 16, "num_stages": 1, "num_ctas": 1}))
    assert found == [
        {"BLOCK_N": 2, "num_warps": 16, "num_stages": 1, "num_ctas": 1},
        {"BLOCK_N": 1, "num_warps": 8, "num_stages": 1, "num_ctas": 1},
        {"BLOCK_N": 1, "num_warps": 16, "num_stages": 2, "num_ctas": 1},
    ]


def found(key: str, config: dict[str, int] | None) -> Found:
    return Found("norm", key, config, 1.0, 2.0, 3, {})


def test_what_is_written_is_what_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned_module, "FOLDER", tmp_path)
    path = write([found("b", {"num_warps": 2}), found("a", {"num_warps": 4})], 77, MEASURED, tmp_path)
    assert tuned("norm", "a", 77) == {"num_warps": 4} and tuned("norm", "c", 77) is None
    assert tuned("norm", "a", 78) is None and tuned("other", "a", 77) is None
    assert json.loads(path.read_text())["_measured"] == {"norm": MEASURED}
    assert path.read_text().index('"a"') < path.read_text().index('"b"')
    write([found("a", None)], 77, MEASURED, tmp_path)
    assert json.loads(path.read_text())["norm"] == {"b": {"num_warps": 2}}
    assert [file.name for file in tmp_path.iterdir()] == ["sm_77.json"]


def test_a_table_that_is_looked_up_cannot_be_changed_by_its_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned_module, "FOLDER", tmp_path)
    write([found("a", {"num_warps": 4})], 76, MEASURED, tmp_path)
    first = tuned("norm", "a", 76)
    assert first is not None
    first["num_warps"] = 8
    assert tuned("norm", "a", 76) == {"num_warps": 4}


def test_the_tuner_hears_the_questions_and_answers_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned_module, "FOLDER", tmp_path)
    write([found("a", {"num_warps": 4})], 75, MEASURED, tmp_path)
    with untuned() as asked:
        assert tuned("norm", "a", 75) is None
    assert tuned("norm", "a", 75) == {"num_warps": 4}
    assert asked == [("norm", "a")]

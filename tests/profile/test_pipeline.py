import time
from collections.abc import Callable

import numpy as np
import pytest

from fewstep.profile import pipeline
from fewstep.profile.marks import Marked, Marks, step_names
from fewstep.profile.pipeline import Pictures, Subject, profile_requests, stages_in_order
from fewstep.profile.plot import request_plot
from fewstep.profile.text import request_table
from fewstep.profile.timing import Spread


def part(seconds: float) -> Callable[[float], float]:
    def run(x: float) -> float:
        time.sleep(seconds)
        return x + 1

    return run


def pictures(level: int) -> Callable[[], Pictures]:
    return lambda: np.full((1, 2, 2, 3), level, np.uint8)


@pytest.fixture
def marks() -> Marks:
    return Marks("cpu")


def test_a_stage_lasts_from_the_mark_before_to_its_own(marks: Marks) -> None:
    network = Marked(part(0.02), marks, step_names(2))
    decoder = Marked(part(0.01), marks, [("update 2", "decode")])

    def request() -> float:
        return float(decoder(network(network(0.0))))

    for _ in range(2):  # the names start over
        total, stages = marks.run(request)
        assert list(stages) == ["noise", "step 1", "update 1", "step 2", "update 2", "decode", "bytes"]
        assert stages["step 1"] >= 0.02 and stages["step 2"] >= 0.02 and stages["decode"] >= 0.01
        assert stages["noise"] < 0.02 and total >= sum(stages.values()) - 1e-3 and total >= 0.05
    assert request() == 3.0


def test_every_peer_is_run_and_compared_with_the_first(marks: Marks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PAUSE", 0)

    def make(level: int) -> Callable[[], Subject]:
        network = Marked(part(0.001), marks, step_names(1))
        return lambda: Subject(lambda: network(0.0), pictures(level))

    def fails() -> Subject:
        raise RuntimeError("out of memory\nTried to allocate")

    def own() -> Subject:
        return Subject(lambda: None, pictures(100), lambda: {"step 1": 2.0})

    told: list[str] = []
    found = profile_requests({"a": make(100), "b": make(103), "c": fails, "d": own}, marks, "cpu", 4, told.append)
    assert told == ["a", "b", "c", "d"] == list(found)
    assert found["a"].apart == (0, 0.0) and found["b"].apart == (3, 3.0)
    assert found["c"].missing == "RuntimeError: out of memory" and found["c"].total is None
    assert found["a"].total is not None and found["a"].stages is not None and found["a"].load is not None
    assert set(found["a"].stages) == {"noise", "step 1", "bytes"} and found["a"].stages["step 1"].p20 >= 0.001
    assert found["d"].stages == {"step 1": (2.0, 2.0, 2.0)} and found["d"].launches is None
    assert stages_in_order(found) == ["noise", "step 1", "bytes"]
    row = found["b"].as_dict()
    assert row["apart"] == (3, 3.0) and set(row["total"]) == {"p20", "p50", "p80"} == set(row["stages"]["noise"])
    table = request_table(found).splitlines()
    assert table[0].split()[:5] == ["noise", "step", "1", "bytes", "total"] and table[1].endswith("1.00x")
    assert "RuntimeError: out of memory" in table[3] and table[4].split()[1:4] == ["-", "2000.000", "-"]
    assert request_plot(found).startswith(b"\x89PNG")


def test_stages_follow_each_other_as_they_happen() -> None:
    names = ["bytes", "decode", "update 2", "step 2", "update 1", "step 1", "noise", "prompt", "inputs"]
    request = pipeline.Request(stages=dict.fromkeys(names, Spread(1, 1, 1)))
    assert stages_in_order({"a": request}) == names[::-1]


def test_nothing_that_runs_is_a_table_of_reasons(marks: Marks) -> None:
    def fails() -> Subject:
        raise RuntimeError("no")

    found = profile_requests({"a": fails}, marks, "cpu", 2)
    assert "RuntimeError: no" in request_table(found)

import os

import pytest

from fewstep.engine.telemetry import SWITCH, refuse_telemetry


def test_telemetry_is_refused_unless_the_user_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    told: list[bool] = []
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: told.append(True))
    monkeypatch.setenv(SWITCH, "0")
    refuse_telemetry()
    assert os.environ[SWITCH] == "0" and told == []
    monkeypatch.delenv(SWITCH)
    refuse_telemetry()
    assert os.environ[SWITCH] == "1" and told == [True]

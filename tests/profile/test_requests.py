"""The peers of a shipped model and of a family: each makes the same picture."""

from functools import partial
from pathlib import Path

import pytest
import torch

from fewstep.api import shipped_models
from fewstep.errors import ContractError, InputError
from fewstep.profile import family
from fewstep.profile.family import family_makers
from fewstep.profile.marks import Marks
from fewstep.profile.pipeline import Request, profile_requests
from fewstep.profile.shipped import shipped_makers

CHECKPOINT = Path(__file__).parents[2] / "recipes" / "toons16" / "checkpoints" / "toons16"
needs_model = pytest.mark.skipif("toons16" not in shipped_models(), reason="this checkout ships no model")
STEPS = ("step 1", "update 1", "step 2", "update 2")


def stages(request: Request) -> tuple[str, ...]:
    assert request.missing is None and request.stages is not None, request.missing
    return tuple(request.stages)


@needs_model
def test_a_shipped_model_s_peers_make_its_picture() -> None:
    marks = Marks("cpu")
    names = ("fewstep", "onnxruntime", "eager")
    makers = shipped_makers("toons16", marks, checkpoint=CHECKPOINT, images=2, steps=2, threads=1, names=names)
    found = profile_requests(makers, marks, "cpu", rounds=1)
    assert all(found[name].apart is not None and found[name].apart[0] <= 1 for name in names)  # type: ignore[index]
    assert stages(found["fewstep"]) == ("step 1", "step 2", "bytes")
    assert stages(found["onnxruntime"]) == stages(found["eager"]) == ("noise", *STEPS, "bytes")


@needs_model
def test_a_shipped_model_is_measured_as_it_was_distilled_and_from_its_checkpoint(tmp_path: Path) -> None:
    make = partial(shipped_makers, "toons16", Marks("cpu"), checkpoint=tmp_path / "none")
    with pytest.raises(ContractError, match="steps"):
        make(steps=3)
    with pytest.raises(InputError, match="--checkpoint"):
        make()
    assert list(make(names=("onnxruntime",))) == ["onnxruntime"]


def test_a_family_s_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda module, mode, dynamic: module)
    marks = Marks("cpu")
    makers = family_makers("cd_imagenet64", marks, device="cpu", size="tiny", steps=2)
    found = profile_requests(makers, marks, "cpu", rounds=1)
    assert list(found) == list(family.NAMES)
    assert stages(found["eager"]) == stages(found["compiled"])
    assert stages(found["eager"]) == ("inputs", "prompt", "noise", *STEPS, "decode", "bytes")
    assert found["compiled"].apart == found["eager-channels-last"].apart == (0, 0.0)
    for name in ("fused", "captured"):
        assert "needs a GPU" in (found[name].missing or "")


def test_a_family_that_is_not_there_and_a_step_it_has_not() -> None:
    with pytest.raises(InputError, match=r"family: expected one of cd_bedroom256, .*flux-schnell"):
        family_makers("sd", Marks("cpu"), device="cpu", size="tiny")
    with pytest.raises(ContractError, match="steps"):
        family_makers("cd_imagenet64", Marks("cpu"), device="cpu", size="tiny", steps=77)


def test_compiled_parts_do_not_hand_out_memory_that_is_used_again() -> None:
    kept = torch.zeros(2)
    out = family.Kept(lambda: (kept,))()
    kept += 1
    assert out[0].tolist() == [0, 0]

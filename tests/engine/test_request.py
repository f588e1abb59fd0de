from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_bundle import write_bundle

from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import Manifest, TextSpec
from fewstep.engine.request import MAX_N, MAX_PIXEL_STEPS, check_request, contract_schedule, drawn_value
from fewstep.engine.table import GuidedSchedule
from fewstep.errors import ContractError, InputError


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return Bundle.open(write_bundle(tmp_path_factory.mktemp("bundle") / "small")).manifest


@pytest.mark.parametrize("steps", [0, -1, 3, 9, 1.5, 2.0, True, False, "2", float("nan"), {2}])
def test_a_step_count_outside_the_contract_lists_what_is_legal(manifest: Manifest, steps: object) -> None:
    with pytest.raises(ContractError, match="steps: small was distilled for 1, 2, 4 steps, got"):
        check_request(manifest, steps=steps)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 2**64, "7", 1.0, True, float("nan"), b"7", {}, [-1], [2**64], ["7"], [None]])
def test_an_illegal_seed_names_the_range(manifest: Manifest, seed: object) -> None:
    with pytest.raises(InputError, match=r"seed.*expected an integer from 0 to 18446744073709551615"):
        check_request(manifest, seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [0, -1, MAX_N + 1, 10**9, 1.0, True, "4"])
def test_an_illegal_count(manifest: Manifest, n: object) -> None:
    with pytest.raises(InputError, match="n: expected an integer from 1 to 1024"):
        check_request(manifest, n=n)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 3, "seed": [1, 2]}, "expected 3 seeds, one a picture, got 2"),
        ({"n": 3, "label": ["planets"]}, "expected 3 labels, one a picture, got 1"),
        ({"label": ["planets"] * 2, "seed": [1, 2, 3]}, "expected 2 seeds"),
        ({"seed": range(2**64)}, "n: expected an integer from 1 to 1024, got"),
        ({"seed": range(2**64), "n": 2}, "expected 2 seeds, one a picture, got"),
        ({"seed": bytearray(b"7")}, "expected an integer from 0 to 18446744073709551615 or a list of them"),
        ({"seed": np.arange(2)}, "expected an integer from 0 to 18446744073709551615 or a list of them"),
        ({"label": []}, "n: expected an integer from 1 to 1024, got 0"),
        ({"seed": []}, "n: expected an integer from 1 to 1024, got 0"),
        ({"label": "unicorn"}, "unknown label 'unicorn'"),
        ({"label": ["planets", 3]}, "expected a name or a mapping"),
        ({"label": b"planets"}, "expected a name or a mapping"),
        ({"prompt": "unicorn"}, "no word of the prompt"),
        ({"prompt": "green critter", "label": {"color": "red"}}, "prompt says green and the label says red for color"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit(manifest: Manifest, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_request(manifest, **arguments)  # type: ignore[arg-type]


def test_the_budget_of_pixels_and_steps(tmp_path: Path) -> None:
    side = 512
    shape = ["B", 3, side, side]
    tensors = {
        "inputs": [
            {"name": "x", "dtype": "float32", "shape": shape},
            {"name": "t", "dtype": "float32", "shape": ["B"]},
            {"name": "labels", "dtype": "int64", "shape": ["B", 3]},
        ],
        "outputs": [{"name": "F", "dtype": "float32", "shape": shape}],
    }
    changes: dict[str, Any] = {
        "image": {"width": side, "height": side, "channels": 3, "range": [-1, 1]},
        "state": {"shape": [3, side, side]},
        "components": {"denoiser": {"graph": "denoiser.onnx", "weights": [], **tensors}},
    }
    large = Bundle.open(write_bundle(tmp_path, **changes)).manifest
    most = MAX_PIXEL_STEPS // side**2 // 4
    assert len(check_request(large, n=most, steps=4).seeds) == most
    with pytest.raises(InputError, match=f"{most + 1} pictures of 512 x 512 in 4 steps"):
        check_request(large, n=most + 1, steps=4)


@given(st.integers(0, 2**64 - 1), st.integers(1, 8))
def test_an_int_seed_counts_up_and_wraps(manifest: Manifest, seed: int, n: int) -> None:
    assert check_request(manifest, n=n, seed=seed).seeds == tuple((seed + i) % 2**64 for i in range(n))


def test_integers_of_numpy_are_integers(manifest: Manifest) -> None:
    request = check_request(manifest, n=np.int32(2), steps=np.int64(4), seed=np.uint64(2**64 - 1))  # type: ignore[arg-type]
    assert request.seeds == (2**64 - 1, 0) and request.steps == (4, 4)
    assert all(type(value) is int for value in (*request.steps, *request.seeds))


def test_random_seeds_differ_and_repeat_what_they_made(manifest: Manifest) -> None:
    first = check_request(manifest, n=2)
    assert first.seeds != check_request(manifest, n=2).seeds
    assert check_request(manifest, seed=list(first.seeds)).labels == first.labels


def test_the_count_follows_lists(manifest: Manifest) -> None:
    assert len(check_request(manifest, label=["planets", {"color": "red"}]).seeds) == 2
    assert check_request(manifest, seed=[4, 4, 4]).seeds == (4, 4, 4)


def test_prompt_and_label_complete_each_other(manifest: Manifest) -> None:
    request = check_request(manifest, "green critter", [{"background": "navy"}, "navy"])
    assert request.labels == ({"class": "critters", "background": "navy", "color": "green"},) * 2


def test_what_was_not_asked_for_is_drawn_evenly_from_the_seed(manifest: Manifest) -> None:
    requests = check_request(manifest, label="planets", seed=list(range(1000)))
    assert {labels["class"] for labels in requests.labels} == {"planets"}
    for table in manifest.labels[1:]:
        counts = Counter(labels[table.name] for labels in requests.labels)
        expected = 1000 / len(table.values)
        assert set(counts) == set(table.values)
        assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())
    pairs = Counter((labels["background"], labels["color"]) for labels in requests.labels)
    assert len(pairs) == len(manifest.labels[1].values) * len(manifest.labels[2].values)


def test_the_drawn_value_is_pinned() -> None:
    """Published pictures must not change: the words of Philox at counter (table, 0, 0, 1)."""
    words = [drawn_value(seed, table, 2**32) for seed, table in ((0, 0), (7, 1), (2**64 - 1, 2))]
    assert words == [768504805, 3176544954, 1353120930]


def of_text(manifest: Manifest, guidance: float = 5.0, **changes: Any) -> Manifest:
    schedule = replace(manifest.schedule, guidance=guidance, **changes)
    spec = TextSpec("tokenizer.json", "ids", None, 7, 0, "{}", False)
    return replace(manifest, labels=(), texts=(spec,), schedule=schedule)


def test_guidance_of_a_network_that_runs_twice_a_step(manifest: Manifest) -> None:
    one, ranged = of_text(manifest), of_text(manifest, guidance_range=(5.0, 8.0))
    assert check_request(one, "a").guidance == check_request(ranged, "a").guidance == 5
    assert check_request(ranged, "a", guidance=8).guidance == 8
    for contract, scale, legal in ((one, 8, "5"), (ranged, 4.9, "5 to 8"), (ranged, 0, "5 to 8")):
        with pytest.raises(ContractError, match=f"guidance: small was distilled for {legal}, got {scale}"):
            check_request(contract, "a", guidance=scale)
        made = check_request(contract, "a", guidance=scale, force=True)
        assert made.guidance == scale and made.forced == (f"guidance: small was distilled for {legal}, got {scale}",)
    with pytest.raises(InputError, match="guidance: expected a number"):
        check_request(ranged, "a", guidance=float("nan"))
    folded = contract_schedule(ranged, 2, 6.0)
    assert isinstance(folded, GuidedSchedule) and folded.guidance.tolist() == [6, 6]
    assert np.array_equal(contract_schedule(ranged, 2).guidance, [5, 5])  # type: ignore[union-attr]


def test_negative_prompts_are_for_networks_that_run_twice_a_step(manifest: Manifest) -> None:
    assert check_request(of_text(manifest), ["a", "b"]).negatives == ("", "")
    assert check_request(of_text(manifest), "a", n=2, negative_prompt="c").negatives == ("c", "c")
    assert check_request(of_text(manifest), ["a", "b"], negative_prompt=["c", "d"]).negatives == ("c", "d")
    with pytest.raises(InputError, match="negative_prompt: expected 1 prompts, one a picture, got 2"):
        check_request(of_text(manifest), "a", negative_prompt=["c", "d"])
    with pytest.raises(InputError, match="negative_prompt: expected a text, got 3"):
        check_request(of_text(manifest), "a", negative_prompt=3)  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="negative_prompt: small runs its network once a step"):
        check_request(of_text(manifest, 1.0), "a", negative_prompt="c")
    with pytest.raises(ContractError, match="negative_prompt: small reads no text"):
        check_request(manifest, negative_prompt="c")

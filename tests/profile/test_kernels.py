from collections.abc import Callable
from typing import Any

import pytest
import torch
from profile_cases import CEILINGS, make, setting, tiny_case
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.cost import Cost
from fewstep.profile import kernels
from fewstep.profile.ceilings import measure_ceilings
from fewstep.profile.kernels import NO_GPU, profile, profile_case, rotation, select
from fewstep.profile.launches import Launches
from fewstep.profile.plot import kernel_plot
from fewstep.profile.text import kernel_table
from fewstep.profile.timing import Measure, Run

PNG = b"\x89PNG\r\n"


@pytest.fixture(autouse=True)
def not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile takes seconds, and its own word is good enough."""

    def compile_(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        assert options == {"dynamic": False, "mode": "default"}
        return function

    monkeypatch.setattr(torch, "compile", compile_)


def test_every_peer_is_measured_or_says_why_not() -> None:
    row = profile_case(tiny_case(), torch.float32, setting())
    assert (row.op, row.dtype, row.bytes, row.flop, row.floor) == ("double", "float32", 256, 32, 256e-9)
    assert list(row.peers) == ["eager", "compiled", "times two", "broken", "fused"]
    for name in ("eager", "compiled", "times two"):
        peer = row.peers[name]
        assert peer.seconds is not None and peer.clock == "wall" and peer.right and peer.missing is None
        assert peer.bytes_per_s == 256 / peer.seconds.p50 and peer.flop_per_s == 32 / peer.seconds.p50
        assert peer.share == 256e-9 / peer.seconds.p50 and peer.error is not None and peer.error.max == 0
    assert row.peers["broken"].missing == "RuntimeError: no engine for this shape"
    assert row.peers["fused"].missing == NO_GPU


def test_what_is_wrong_is_said() -> None:
    def wrong(x: Tensor) -> Tensor:
        return 2 * x + 0.1

    row = profile_case(tiny_case(libraries={"wrong": wrong}), torch.float32, setting(peers=("libraries",)))
    assert row.peers["wrong"].right is False and list(row.peers) == ["wrong"]
    assert " WRONG " in kernel_table([row], CEILINGS)


def test_on_a_gpu_calls_are_timed_in_a_graph_if_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def captured(run: Run, sets: int) -> Measure:
        if run(0).dtype == torch.float16:
            raise RuntimeError("operation not permitted when stream is capturing")
        return lambda: 1e-6

    monkeypatch.setattr(kernels, "graph", captured)
    monkeypatch.setattr(kernels, "events", lambda run, sets: lambda: 2e-6)
    monkeypatch.setattr(kernels, "count_launches", lambda run: Launches(host=1, device=3))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    case = tiny_case(make=lambda device, dtype, seed: make("meta" if device == "meta" else "cpu", dtype, seed))
    exact, half = profile([case], setting(device="cuda"))
    for row, clock, seconds in ((exact, "graph", 1e-6), (half, "events", 2e-6)):
        for name in ("eager", "compiled", "times two", "fused"):
            peer = row.peers[name]
            assert (peer.clock, peer.seconds) == (clock, (seconds, seconds, seconds)), name
            assert peer.launches == (0 if name == "fused" else 3)


def test_an_infinite_error_is_null_in_json() -> None:
    def overflows(x: Tensor) -> Tensor:
        return x * float("inf")

    row = profile_case(tiny_case(libraries={"inf": overflows}), torch.float32, setting(peers=("libraries",)))
    assert row.peers["inf"].right is False
    assert row.as_dict()["peers"]["inf"]["error"] == {"max": None, "rms": None}


def test_every_dtype_is_a_row_unless_one_is_asked_for() -> None:
    assert [row.dtype for row in profile([tiny_case()], setting(peers=("eager",)))] == ["float32", "float16"]
    assert [row.dtype for row in profile([tiny_case()], setting(peers=("eager",), dtype=torch.float32))] == ["float32"]


def test_calls_rotate_among_the_inputs() -> None:
    seen: list[float] = []

    def look(x: Tensor) -> Tensor:
        if x.dtype == torch.float32:
            seen.append(float(x[0, 0]))
        return x + x

    row = profile_case(tiny_case(libraries={"look": look}), torch.float32, setting(peers=("libraries",), cache=128))
    assert row.sets == 3 and row.beyond_cache and len(set(seen)) == 3 and len(seen) == 4


@pytest.mark.parametrize(
    ("read", "held", "cache", "device", "sets", "beyond"),
    [
        (100, 100, 100, "cuda", 3, True),
        (100, 100, 50, "cuda", 2, True),
        (101, 101, 100, "cpu", 2, True),
        (1, 1, 10_000, "cuda", kernels.MOST_SETS["cuda"], False),
        (100, 100, 10_000, "cpu", kernels.MOST_SETS["cpu"], False),
        (kernels.MOST_BYTES["cpu"] + 1, kernels.MOST_BYTES["cpu"] + 1, 1000, "cpu", 1, True),
        (100, kernels.MOST_BYTES["cpu"] // 2, 1000, "cpu", 2, False),
    ],
)
def test_inputs_exceed_twice_the_cache_within_limits(
    read: int, held: int, cache: int, device: str, sets: int, beyond: bool
) -> None:
    assert rotation(read, held, cache, device) == (sets, beyond)


def test_tensors_in_lists_and_tuples_count() -> None:
    def pairs(device: str, dtype: torch.dtype, seed: int) -> dict[str, Any]:
        return {"inputs": [make(device, dtype, seed)["x"]], "pair": (make(device, dtype, seed)["x"], None), "n": 2}

    def sums(inputs: list[Tensor], pair: tuple[Tensor, None], n: int) -> Tensor:
        return inputs[0] + pair[0]

    case = tiny_case(make=pairs, reference=sums, libraries={}, cost=lambda inputs, pair, n: Cost(384, 32))
    row = profile_case(case, torch.float32, setting(peers=("eager",), cache=500))
    assert row.sets == 4 and row.beyond_cache and row.peers["eager"].seconds is not None


def test_cases_are_chosen_by_operation_and_family() -> None:
    cases = [tiny_case(), tiny_case(op="triple", families=("beyond L2, deterministic",))]
    assert select(cases) == cases and select(cases, op="triple") == cases[1:]
    assert select(cases, family="sd-turbo") == select(cases, family="flux-schnell") == cases[:1]
    assert select(cases, "triple", "beyond") == cases[1:]
    with pytest.raises(InputError, match=r"op: expected one of double, triple, got 'half'"):
        select(cases, op="half")
    with pytest.raises(InputError, match=r"family: expected one of beyond, flux-schnell, sd-turbo, got 'sd-tur'"):
        select(cases, family="sd-tur")
    with pytest.raises(InputError, match="no case of triple belongs to sd-turbo"):
        select(cases, "triple", "sd-turbo")


def test_the_floor_is_at_the_ceiling_that_binds() -> None:
    assert CEILINGS.floor(Cost(1000, 100), torch.float32) == 1e-6
    assert CEILINGS.floor(Cost(1000, 100_000), torch.float32) == 1e-5
    assert CEILINGS.floor(Cost(1000, 100_000), torch.float16) == 5e-6


def test_ceilings_are_measured() -> None:
    found = measure_ceilings("cpu", [torch.float32], copy_bytes=1 << 16, side=16)
    assert 1e6 < found.copy < 1e13 and 1e5 < found.product["float32"] < 1e13


def test_the_table_the_plot_and_the_json_hold_every_row() -> None:
    rows = list(profile([tiny_case(), tiny_case(op="triple", libraries={})], setting()))
    table = kernel_table(rows, CEILINGS)
    lines = table.splitlines()
    assert lines[0].startswith("ceilings measured: copy 1 GB/s (read + written), matrix product 0.01 TFLOP/s float32")
    assert sum(line.startswith(("double 4x8 float", "triple 4x8 float")) for line in lines) == 4
    assert sum(line.split()[:1] == ["eager"] and line.endswith("1.00x") for line in lines) == 4
    assert table.count(NO_GPU) == 4 and max(map(len, lines)) < 130
    assert kernel_plot(rows, CEILINGS).startswith(PNG)
    found = rows[0].as_dict()["peers"]["eager"]
    assert set(found["seconds"]) == {"p20", "p50", "p80"} and found["error"] == {"max": 0.0, "rms": 0.0}


def test_what_only_moves_bytes_is_shown_too() -> None:
    case = tiny_case(cost=lambda x: Cost(256, 0), dtypes=(torch.float32,), libraries={})
    rows = list(profile([case], setting(peers=("eager",))))
    assert "0.000256 MB, 0 GFLOP" in kernel_table(rows, CEILINGS)
    assert kernel_plot(rows, CEILINGS).startswith(PNG)

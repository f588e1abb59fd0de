"""What only a GPU can show of the profiler itself."""

import pytest
import torch
from profile_cases import setting

from fewstep.profile.ceilings import measure_ceilings
from fewstep.profile.kernels import profile_case
from fewstep.profile.launches import count_launches
from fewstep.profile.machine import cache_bytes, machine
from fewstep.profile.table import CASES
from fewstep.profile.timing import flushed, graph

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def test_a_kernel_is_measured_against_its_rivals() -> None:
    case = next(case for case in CASES if case.op == "ada_norm")
    found = setting(device="cuda", cache=cache_bytes("cuda"), ceilings=measure_ceilings("cuda", case.dtypes))
    row = profile_case(case, case.dtypes[0], found)
    assert {"eager", "compiled", "fused"} <= set(row.peers) and row.beyond_cache
    for name, peer in row.peers.items():
        assert peer.missing is None and peer.clock == "graph" and peer.right, (name, peer)
        assert peer.share is not None and 0 < peer.share < 1.2, (name, peer)
    assert row.peers["fused"].launches == 1


def test_a_graph_s_time_is_that_of_its_calls() -> None:
    x, y = torch.ones(1 << 28, device="cuda"), torch.ones(1 << 28, device="cuda")
    y.copy_(x)
    expected = 2 * x.nbytes / measure_ceilings("cuda", ()).copy
    assert graph(lambda i: y.copy_(x), 1)() == pytest.approx(expected, rel=0.1)
    assert flushed(lambda: y.copy_(x), cache_bytes("cuda"))() == pytest.approx(expected, rel=0.1)


def test_launches_are_counted() -> None:
    x = torch.ones(1000, device="cuda")
    assert count_launches(lambda: x + x) == (1, 1) and count_launches(lambda: (x + x) * x) == (2, 2)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        y = (x + x) * x
    assert count_launches(recorded.replay) == (1, 2) and y is not None


def test_the_gpu_is_described() -> None:
    gpu = machine("cuda")["gpu"]
    assert gpu["driver"] and gpu["arch"].startswith("sm_") and gpu["l2_bytes"] > 1 << 20

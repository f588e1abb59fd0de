from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.launch import run_all
from fewstep.kernels.norm_rope import norm_rope, norm_rope_cost, norm_rope_launches, norm_rope_ref
from fewstep.kernels.rotary import Layout
from fewstep.profile.cases.norm_rope import joint, joint_reference, make_joint

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
LAYOUTS: list[Layout] = ["interleaved", "half"]
SMALL = {"BLOCK_N": 2, "BLOCK_H": 2, "BLOCK_P": 16}


def random(device: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return guarded(torch.randn(shape, device=device, dtype=dtype) + 1)


def table(device: str, *shape: int) -> tuple[Tensor, Tensor]:
    angle = 3 * torch.randn(shape, device=device)
    return guarded(angle.cos()), guarded(angle.sin())


def inputs(device: str, B: int, N: int, H: int, G: int, D: int, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    cos, sin = table(device, N, D // 2)
    q, k = random(device, B, N, H, D, dtype=dtype), random(device, B, N, G, D, dtype=dtype)
    weights = {name: random(device, D, dtype=dtype) for name in ("q_weight", "k_weight")}
    return {"q": q, "k": k, **weights, "cos": cos, "sin": sin}


def check(config: Any = None, **arguments: Any) -> None:
    got, launches = norm_rope_launches(**arguments, config=config)
    run_all(launches)
    doubled: dict[str, Any] = {k: a.double() if isinstance(a, Tensor) else a for k, a in arguments.items()}
    eager, truth = norm_rope_ref(**arguments), norm_rope_ref(**doubled)
    assert len(got) == len(truth)
    for triple in zip(got, eager, truth, strict=True):
        assert_as_good_as(*triple)
        assert triple[0].is_contiguous()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 2), (2, 5, 3, 3, 40), (1, 3, 8, 2, 32), (1, 2, 24, 24, 128)], ids=str)
def test_normalises_and_rotates(shape: Any, dtype: torch.dtype, layout: Layout, device: str) -> None:
    B, N, H, G, D = shape
    arguments = inputs(device, B, N, H, G, D, dtype)
    check(**arguments, layout=layout, v=guarded(torch.randn_like(arguments["k"])))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("D", [64, 72, 80, 112, 160])
def test_head_sizes(D: int, layout: Layout, device: str) -> None:
    check(**inputs(device, 1, 3, 2, 2, D), layout=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "absent", ["q_weight", "k_weight", "q_weight k_weight", "cos sin", "q_weight k_weight cos sin"]
)
def test_each_part_may_be_absent(absent: str, layout: Layout, device: str) -> None:
    arguments = inputs(device, 2, 3, 2, 2, 24)
    check(**{k: None if k in absent.split() else a for k, a in arguments.items()}, layout=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("D", [30, 32])
@pytest.mark.parametrize(("N", "H", "G"), [(1, 1, 1), (2, 2, 1), (3, 3, 3), (5, 2, 1), (3, 6, 3)], ids=str)
def test_around_a_block(N: int, H: int, G: int, D: int, layout: Layout, device: str) -> None:
    arguments = inputs(device, 2, N, H, G, D)
    check(**arguments, layout=layout, v=random(device, 2, N, G, D), config=SMALL)


def test_interleaved_is_complex_multiplication(device: str) -> None:
    arguments = inputs(device, 1, 3, 2, 2, 16)
    turned, _ = norm_rope(arguments["q"], arguments["k"], cos=arguments["cos"], sin=arguments["sin"])
    factor = torch.complex(arguments["cos"], arguments["sin"])[None, :, None]
    exact = torch.view_as_real(torch.view_as_complex(arguments["q"].unflatten(-1, (-1, 2))) * factor).flatten(-2)
    torch.testing.assert_close(turned, exact.transpose(1, 2))


def test_half_is_rotate_half(device: str) -> None:
    arguments = inputs(device, 1, 3, 2, 2, 16)
    q, cos, sin = (arguments[name] for name in ("q", "cos", "sin"))
    turned, _ = norm_rope(q, arguments["k"], cos=cos, sin=sin, layout="half")
    cos, sin = (torch.cat((t, t), dim=-1)[:, None] for t in (cos, sin))
    exact = q * cos + torch.cat((-q[..., 8:], q[..., :8]), dim=-1) * sin
    torch.testing.assert_close(turned, exact.transpose(1, 2))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_takes_a_packed_projection_and_a_table_for_each_sample(layout: Layout, device: str) -> None:
    packed = random(device, 2, 3, 3 * 4 * 16 + 8)
    q, k, v = packed[..., 8:].unflatten(-1, (3, 4, 16)).unbind(2)
    cos, sin = table(device, 2, 3, 8)
    weights = {name: random(device, 16) for name in ("q_weight", "k_weight")}
    check(q=q, k=k, v=v, cos=cos, sin=sin, **weights, layout=layout)
    check(q=q, k=k, v=v, cos=cos[:1].transpose(0, 1)[:, 0].expand(3, 8), sin=sin[0], **weights, layout=layout)
    wide = table(device, 2, 6, 24)
    check(q=q, k=k, v=v, cos=wide[0][:, ::2, 8:16], sin=wide[1][:, 1::2, :8], **weights, layout=layout)


def test_two_streams_fill_one_buffer(device: str) -> None:
    text, image = inputs(device, 2, 3, 4, 2, 16), inputs(device, 2, 5, 4, 2, 16)
    for stream in (text, image):
        stream["v"] = random(device, *stream["k"].shape)
    sizes = (4, 2, 2)
    out = tuple(torch.full((2, size, 8, 16), 9.0, device=device) for size in sizes)
    assert norm_rope(**text, out=out) is out
    assert all(y[:, :, 3:].eq(9).all() for y in out)
    norm_rope(**image, out=out, offset=3)
    for y, a, b in zip(out, norm_rope(**text), norm_rope(**image), strict=True):
        assert torch.equal(y, torch.cat((a, b), dim=2))
    tokens_first = tuple(torch.zeros(2, 8, size, 16, device=device).transpose(1, 2) for size in sizes)
    norm_rope(**text, out=tokens_first, offset=1)
    for y, a in zip(tokens_first, norm_rope(**text), strict=True):
        assert torch.equal(y[:, :, 1:4], a) and y[:, :, 0].eq(0).all() and y[:, :, 4:].eq(0).all()


@pytest.mark.parametrize("rotated", [False, True])
def test_the_measured_pair_of_streams_is_what_the_families_compute(rotated: bool, device: str) -> None:
    streams = make_joint(device, torch.float32, 0, tokens=(2, 3), H=2, D=16, rotated=rotated)
    for y, exact in zip(joint(**streams), joint_reference(**streams), strict=True):
        torch.testing.assert_close(y, exact)


@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_tiny_heads_and_squares_that_fp16_cannot_hold(eps: float, device: str) -> None:
    arguments = inputs(device, 1, 3, 2, 2, 32)
    arguments["q"][0, 0] = 0
    arguments["q"][0, 1] *= 1e-3
    check(**arguments, eps=eps)
    arguments = inputs(device, 1, 3, 2, 2, 32, dtype=torch.float16)
    arguments["k"] *= 1e4
    check(**arguments, eps=eps)


def test_a_rotation_keeps_lengths_and_depends_on_the_distance_alone(device: str) -> None:
    D, N = 32, 6
    angle = torch.arange(N, device=device)[:, None] * torch.rand(D // 2, device=device)
    q, k = (torch.randn(1, 1, 1, D, device=device).expand(1, N, 1, D) for _ in range(2))
    q, k = norm_rope(q, k, cos=angle.cos(), sin=angle.sin(), layout="half")
    scores = (q @ k.mT)[0, 0]
    torch.testing.assert_close(scores.diagonal(1), scores.diagonal(1)[:1].expand(N - 1))
    torch.testing.assert_close(q.norm(dim=-1), q[..., :1, :].norm(dim=-1).expand(1, 1, N))


Q = torch.ones(2, 3, 4, 8)
BUFFER = torch.ones(2, 4, 5, 8)
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "rank": ({"q": Q[0]}, r"q: expected shape \(any, any, any, any\), got \(3, 4, 8\)"),
    "tokens": ({"k": Q[:, :2]}, r"k: expected shape \(2, 3, any, 8\), got \(2, 2, 4, 8\)"),
    "groups": ({"k": Q[:, :, :3]}, "k: expected a number of heads that divides q's 4, got 3"),
    "values": ({"v": Q[:, :, :2]}, r"v: expected shape \(2, 3, 4, 8\), got \(2, 3, 2, 8\)"),
    "odd": ({"q": Q[..., :7], "k": Q[..., :7]}, r"q: expected an even last axis, got shape \(2, 3, 4, 7\)"),
    "wide": ({"q": torch.ones(1, 1, 1, 514), "k": torch.ones(1, 1, 1, 514)}, "D: .* from 2 to 512, got 514"),
    "thin": ({"q": torch.ones(1, 1, 1, 1), "k": torch.ones(1, 1, 1, 1)}, "D: .* from 2 to 512, got 1"),
    "many": ({"q": Q[:1, :1].expand(65536, 1, 4, 8), "k": Q[:1, :1].expand(65536, 1, 4, 8)}, "B: .* 65535, got 65536"),
    "dtype": ({"q": Q.int()}, "q: expected dtype .*, got int32"),
    "mixed": ({"k": Q.half()}, "k: expected dtype float32, got float16"),
    "stride": ({"k": torch.ones(2, 3, 8, 4).mT}, "k: expected stride 1 in the last axis"),
    "weight": ({"q_weight": torch.ones(7)}, r"q_weight: expected shape \(8\), got \(7,\)"),
    "whole": ({"k_weight": torch.ones(8).int()}, "k_weight: expected dtype .*, got int32"),
    "steps": ({"k_weight": torch.ones(16)[::2]}, "k_weight: expected stride 1 in the last axis"),
    "half": ({"cos": torch.ones(3, 4)}, "sin: expected both cos and sin, or neither; got None"),
    "other half": ({"sin": torch.ones(3, 4)}, "cos: expected both cos and sin, or neither; got None"),
    "table": ({"cos": torch.ones(3, 8), "sin": torch.ones(3, 4)}, r"cos: expected shape \(3, 4\), got \(3, 8\)"),
    "samples": ({"cos": torch.ones(3, 4), "sin": torch.ones(1, 3, 4)}, r"sin: expected shape \(2, 3, 4\)"),
    "short": ({"cos": torch.ones(3, 4), "sin": torch.ones(3, 4).half()}, "sin: expected dtype float32, got float16"),
    "real": ({"cos": torch.ones(3, 8)[:, ::2], "sin": torch.ones(3, 4)}, "cos: expected stride 1 in the last axis"),
    "layout": ({"layout": "neox"}, "layout: expected 'interleaved' or 'half', got 'neox'"),
    "buffers": ({"out": (BUFFER,)}, "out: expected 2 buffers, got 1"),
    "buffer": ({"out": (BUFFER, BUFFER[:, :2])}, r"out\[1\]: expected shape \(2, 4, any, 8\), got \(2, 2, 5, 8\)"),
    "kind": ({"out": (BUFFER.half(), BUFFER)}, r"out\[0\]: expected dtype float32, got float16"),
    "columns": ({"out": (BUFFER.mT.contiguous().mT, BUFFER)}, r"out\[0\]: expected stride 1 in the last axis"),
    "late": ({"out": (BUFFER, BUFFER), "offset": 3}, "offset: expected a whole number from 0 to 2, got 3"),
    "early": ({"out": (BUFFER, BUFFER), "offset": -1}, "offset: expected a whole number from 0 to 2, got -1"),
    "offset": ({"offset": 1}, "offset: expected a whole number from 0 to 0, got 1"),
    "device": ({"q_weight": torch.ones(8, device="meta")}, "expected tensors on one device"),
    "elsewhere": ({"out": (BUFFER, BUFFER.to("meta"))}, "expected tensors on one device"),
}


@pytest.mark.parametrize("bad", BAD)
def test_refuses(bad: str, device: str) -> None:
    arguments, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        norm_rope(**{"q": Q, "k": Q} | arguments)


def test_describes_a_launch_without_memory() -> None:
    q, cos = torch.empty(1, 4352, 24, 128, device="meta"), torch.empty(4352, 64, device="meta")
    (q_out, k_out), [launch] = norm_rope_launches(q, q, cos=cos, sin=cos, arch=90)
    assert q_out.shape == k_out.shape == (1, 24, 4352, 128) and launch.grid == (2176 * 3, 1, 1)
    assert norm_rope_cost(q, q, cos=cos, sin=cos).bytes == 4 * (4 * q.numel() + 2 * cos.numel())

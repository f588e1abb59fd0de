from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.launch import run_all
from fewstep.kernels.matmul import matmul, matmul_cost, matmul_launches, matmul_ref

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SMALL = {"BLOCK_M": 16, "BLOCK_N": 16, "BLOCK_K": 16, "GROUP_M": 2, "PARTS": 1, "num_warps": 4}
ALL = ("bias", "gate", "residual")


def inputs(
    B: int, T: int, K: int, N: int, dtype: torch.dtype, device: str, *added: str, halves: int = 1
) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(B * T + K + N)
    shapes = {
        "a": (B, T, K), "b": (halves * N, K),
        "bias": (halves * N,), "gate": (B, N), "residual": (B, T, N),
    }  # fmt: skip
    drawn = {name: torch.randn(shape, generator=draw) + 0.5 for name, shape in shapes.items()}
    drawn["b"] *= K**-0.5
    return {name: guarded(x.to(device, dtype)) for name, x in drawn.items() if name in ("a", "b", *added)}


def check(got: Tensor, given: dict[str, Any]) -> None:
    in_double: dict[str, Any] = {name: x.double() if isinstance(x, Tensor) else x for name, x in given.items()}
    assert_as_good_as(got, matmul_ref(**given), matmul_ref(**in_double))


def run(given: dict[str, Any], arch: int | None = None, **config: int) -> Tensor:
    y, launches = matmul_launches(**given, arch=arch, config=SMALL | config)
    run_all(launches)
    return y


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 15, 16, 17), (2, 16, 33, 32), (3, 11, 15, 31)], ids=str)
def test_every_term_at_sizes_about_a_block(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    B, T, K, N = shape
    given = inputs(B, T, K, N, dtype, device, *ALL) | {"scale": 0.7}
    check(run(given), given)


@pytest.mark.parametrize(
    ("shape", "parts"),
    [((1, 17, 8, 15), 1), ((1, 15, 40, 33), 1), ((1, 15, 40, 17), 5), ((2, 16, 32, 17), 2), ((3, 1, 48, 8), 2)],
    ids=str,
)
def test_tiles_by_the_tensor_memory_accelerator(shape: tuple[int, ...], parts: int, device: str) -> None:
    B, T, K, N = shape
    given = inputs(B, T, K, N, torch.float16, device, *ALL) | {"activation": "silu"}
    y, launches = matmul_launches(**given, arch=90, config=SMALL | {"PARTS": parts})
    assert launches[0].config["IS_TMA"] and len(launches) == min(parts, 2)
    run_all(launches)
    check(y, given)


PARTS = [(2, ()), (2, ("bias",)), (2, ("gate",)), (2, ("residual",)), (3, ALL), (7, ALL)]


@pytest.mark.parametrize(("parts", "added"), PARTS, ids=str)
def test_parts_of_a_long_sum(parts: int, added: tuple[str, ...], device: str) -> None:
    """More parts than blocks of K too; two samples in a block of rows; two programs on each axis."""
    given = inputs(3, 3, 70, 300, torch.float32, device, *added)
    check(run(given, PARTS=parts, BLOCK_N=128), given)


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_tanh"])
@pytest.mark.parametrize("glu", [None, "value_first", "gate_first"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_activations(activation: str, glu: str | None, dtype: torch.dtype, device: str) -> None:
    given = inputs(1, 17, 20, 21, dtype, device, *ALL, halves=2 if glu else 1)
    given |= {"activation": activation, "glu": glu, "scale": 2.5}
    check(run(given), given)


@pytest.mark.parametrize("glu", ["value_first", "gate_first"])
def test_value_and_gate_by_the_tensor_memory_accelerator(glu: str, device: str) -> None:
    given = inputs(1, 17, 24, 18, torch.float16, device, "bias", halves=2) | {"activation": "gelu", "glu": glu}
    check(run(given, arch=90), given)


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_tanh"])
def test_activations_of_large_logits(activation: str, device: str) -> None:
    given = inputs(1, 16, 16, 16, torch.float32, device) | {"activation": activation, "scale": 1e4}
    check(run(given), given)


def test_float16_near_overflow(device: str) -> None:
    given = inputs(1, 16, 64, 16, torch.float16, device, "residual")
    given["a"] *= 2000
    assert matmul_ref(**given).abs().max() > 8000
    check(run(given), given)


@pytest.mark.parametrize("glu", [None, "gate_first"])
@pytest.mark.parametrize("N", [200, 300])
@pytest.mark.parametrize("parts", [1, 2])
def test_wide_tiles_end_in_two_goes(N: int, glu: str | None, parts: int, device: str) -> None:
    added = ALL if glu is None else ("bias",)
    given = inputs(2, 10, 32, N, torch.float32, device, *added, halves=2 if glu else 1)
    given |= {"glu": glu, "activation": "gelu" if glu else None}
    check(run(given, BLOCK_N=256, PARTS=1 if glu else parts), given)


@pytest.mark.parametrize(("group", "parts"), [(1, 1), (3, 1), (8, 1), (3, 2)])
def test_each_program_walks_over_several_tiles(
    group: int, parts: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fewstep.kernels.matmul.multiprocessors", lambda x, arch: 3)
    given = inputs(1, 4 * 16 - 1, 20, 3 * 16 - 3, torch.float32, device, "bias")
    y, launches = matmul_launches(**given, config=SMALL | {"GROUP_M": group, "PARTS": parts})
    assert launches[0].grid == (3, 1, 1)
    run_all(launches)
    check(y, given)


@pytest.mark.parametrize("T", [32, 20])
def test_gates_of_each_sample(T: int, device: str) -> None:
    """Where a block of rows lies in one sample, and where it lies in two."""
    given = inputs(2, T, 16, 20, torch.float32, device, "gate")
    check(run(given), given)


@pytest.mark.parametrize("arch", [80, 90])
def test_strided_views(arch: int, device: str) -> None:
    """Some tokens of two samples, one chunk of columns, one of b's rows, one of a modulation's."""
    a = guarded(torch.randn(2, 9, 48, device=device).half())[:, 3:8].chunk(3, -1)[1]
    b = guarded(torch.randn(22, 48, device=device).half())[::2, 16:32]
    gate = guarded(torch.randn(2, 33, device=device)).chunk(3, -1)[1]
    residual = guarded(torch.randn(2, 7, 22, device=device))[:, 1:6, 11:]
    given = {"a": a, "b": b, "gate": gate.half(), "residual": residual.half()}
    check(run(given, arch), given)
    y = run(given | {"gate": gate, "residual": residual}, arch)
    torch.testing.assert_close(y, run(given, arch), rtol=2e-3, atol=4e-3)


@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("shape", [(1, 16), (7, 16), (2, 3, 4, 16)], ids=str)
def test_any_number_of_axes(shape: tuple[int, ...], arch: int, device: str) -> None:
    given = inputs(1, 24, 16, 5, torch.bfloat16, device)
    given["a"] = guarded(torch.randn(*shape, device=device).bfloat16())
    given["residual"] = guarded(torch.randn(*shape[:-1], 5, device=device).bfloat16())
    check(run(given, arch), given)


def test_rows_that_are_not_aligned_come_by_pointers(device: str) -> None:
    whole = inputs(2, 5, 24, 9, torch.float16, device)
    a, b = whole["a"], whole["b"]
    for x, w, is_tma in [(a, b, True), (a[..., 1:9], b[:, 8:16], False), (a[..., :8], b[:, 1:9], False),
                         (a[..., :12], b[:, :12], True), (a[:, 1:], b, False)]:  # fmt: skip
        y, launches = matmul_launches(x, w, arch=90, config=SMALL)
        assert launches[0].config["IS_TMA"] == is_tma
        run_all(launches)
        check(y, {"a": x, "b": w})
    assert not matmul_launches(a.float(), b.float(), arch=90, config=SMALL)[1][0].config["IS_TMA"]


@pytest.mark.parametrize("arch", [80, 90])
def test_a_real_shape_with_chosen_tiles(arch: int, device: str) -> None:
    given = inputs(1, 1, 320, 1280, torch.bfloat16, device, "bias") | {"activation": "silu"}
    y, launches = matmul_launches(**given, arch=arch)
    run_all(launches)
    check(y, given)


def test_the_same_bits_twice(device: str) -> None:
    given = inputs(1, 16, 64, 16, torch.float32, device, *ALL)
    assert torch.equal(run(given, PARTS=3), run(given, PARTS=3))
    check(matmul(**given), given)


def test_costs_count_what_is_read_and_written(device: str) -> None:
    given = inputs(1, 3, 5, 7, torch.float16, device, "bias", halves=2)
    assert matmul_cost(**given, glu="value_first") == (2 * (15 + 70 + 14 + 21), 2 * 3 * 5 * 14)
    assert matmul_cost(**given) == (2 * (15 + 70 + 14 + 42), 2 * 3 * 5 * 14)


BAD: list[tuple[str, dict[str, Any]]] = [
    (r"a: expected shape \(..., K\), got \(8,\)", {"a": torch.ones(8)}),
    (r"a: expected shape \(B, T, K\), as there is a gate", {"a": torch.ones(6, 8), "gate": torch.ones(6, 5)}),
    (r"a: expected rows at one stride", {"a": torch.ones(2, 3, 4, 8).transpose(0, 1)}),
    (r"a: expected stride 1 in the last axis", {"a": torch.ones(2, 8, 3).transpose(1, 2)}),
    (r"a: expected dtype .* got float64", {"a": torch.ones(2, 3, 8).double()}),
    (r"b: expected shape \(any, 8\), got \(5, 7\)", {"b": torch.ones(5, 7)}),
    (r"b: expected torch.float32 as a, got torch.float16", {"b": torch.ones(5, 8).half()}),
    (r"b: expected stride 1 in the last axis", {"b": torch.ones(8, 5).T}),
    (r"bias: expected shape \(5\), got \(4,\)", {"bias": torch.ones(4)}),
    (r"bias: expected dtype", {"bias": torch.ones(5, dtype=torch.int32)}),
    (r"bias: expected stride 1", {"bias": torch.ones(10)[::2]}),
    (r"gate: expected shape \(2, 5\), got \(2, 4\)", {"gate": torch.ones(2, 4)}),
    (r"residual: expected shape \(2, 3, 5\), got \(2, 3, 6\)", {"residual": torch.ones(2, 3, 6)}),
    (r"activation: expected 'gelu' or 'gelu_tanh' or 'silu', got 'relu'", {"activation": "relu"}),
    (r"glu: expected 'value_first' or 'gate_first', got 'both'", {"glu": "both", "activation": "silu"}),
    (r"glu: expected an activation .* got None", {"glu": "gate_first", "b": torch.ones(6, 8)}),
    (r"glu: expected .*value and gate rows in b, got silu, 5 rows", {"glu": "gate_first", "activation": "silu"}),
    (r"scale: expected a number, got True", {"scale": True}),
    (r"N: expected a whole number from 1 to", {"b": torch.ones(1, 8).expand(2**30 + 1, 8)}),
    (r"expected tensors on one device", {"b": torch.ones(5, 8, device="meta")}),
]


@pytest.mark.parametrize(("message", "change"), BAD, ids=[message for message, _ in BAD])
def test_refuses(message: str, change: dict[str, Any], device: str) -> None:
    good: dict[str, Any] = {"a": torch.ones(2, 3, 8), "b": torch.ones(5, 8)}
    moved: dict[str, Any] = {
        name: value.to(device) if isinstance(value, Tensor) and not value.is_meta and value.numel() < 2**20 else value
        for name, value in (good | change).items()
    }
    with pytest.raises(InputError, match=message):
        matmul(**moved)

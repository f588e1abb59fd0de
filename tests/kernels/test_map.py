from collections.abc import Callable
from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded

from fewstep.errors import InputError
from fewstep.kernels.map import map, map_cost, map_launches, map_ref
from fewstep.kernels.map_code import BINARY, UNARY

INF, NAN = float("inf"), float("nan")
AXPY = [("const", 2.5), ("mul", 0, 2), ("add", 3, 1)]
# Masked lanes hold zeros, which numpy divides by where a GPU would not say a word.
pytestmark = pytest.mark.filterwarnings("ignore:(divide by zero|invalid value|overflow):RuntimeWarning")


def normal(*shape: int, device: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return guarded(torch.randn(*shape, device=device).to(dtype))


def empty(*shape: int, device: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device=device)  # NaN between margins, of the device fixture


def check(inputs: list[torch.Tensor], code: list[Any], out: torch.Tensor) -> None:
    eager = map_ref([x.float() for x in inputs], code, out)
    truth = map_ref([x.double() for x in inputs], code, out.double())
    assert_as_good_as(map(inputs, code, out), eager, truth)


@pytest.mark.parametrize("name", UNARY)
def test_functions(name: str, device: str) -> None:
    """Over tails and both sides of every branch."""
    x = torch.cat([torch.linspace(-12, 12, 301), torch.linspace(-0.3, 0.3, 61), torch.tensor([0.5, 1.5, -2.5])])
    if name in ("sqrt", "rsqrt", "log", "reciprocal"):
        x = x.abs() + 0.01
    x = guarded(x.to(device))
    check([x], [(name, 0)], empty(*x.shape, device=device))


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two(name: str, device: str) -> None:
    a, b = (normal(5, 77, device=device) for _ in range(2))
    a[0, :20], b[0, 10:30] = b[0, :20].clone(), 0.5
    if name == "pow":
        a = a.abs() + 0.1
    check([a, b], [(name, 0, 1)], empty(5, 77, device=device))


EXACT: dict[str, tuple[list[Any], list[float], list[float], list[float]]] = {
    "relu": ([("relu", 0)], [-1, 0, 2, NAN, -INF], [0] * 5, [0, 0, 2, NAN, 0]),
    "sign": ([("sign", 0)], [-3, 0, 0.1, NAN, INF], [0] * 5, [-1, 0, 1, NAN, 1]),
    "round": ([("round", 0)], [0.5, 1.5, -2.5, 8388609, -3.7], [0] * 5, [0, 2, -2, 8388609, -4]),
    "round all": ([("round", 0)], [NAN, INF, -INF, 16777215, -0.6], [0] * 5, [NAN, INF, -INF, 16777215, -1]),
    "not": ([("not", 0)], [0, 1, -1, NAN, 0.1], [0] * 5, [1, 0, 0, 0, 0]),
    "and": ([("and", 0, 1)], [0, 0, 2, NAN, -1], [0, 3, 0, 1, 0.5], [0, 0, 0, 1, 1]),
    "or": ([("or", 0, 1)], [0, 0, 2, NAN, -1], [0, 3, 0, 0, 0.5], [0, 1, 1, 1, 1]),
    "less": ([("less", 0, 1)], [1, 2, 2, NAN, -1], [2, 1, 2, 1, INF], [1, 0, 0, 0, 1]),
    "greater": ([("greater", 0, 1)], [1, 2, 2, NAN, -1], [2, 1, 2, 1, -INF], [0, 1, 0, 0, 1]),
    "equal": ([("equal", 0, 1)], [1, 2, 0, NAN, -1], [2, 2, -0.0, NAN, -1], [0, 1, 1, 0, 1]),
    "min": ([("min", 0, 1)], [1, 3, NAN, 2, -INF], [2, 2, 1, NAN, 0], [1, 2, NAN, NAN, -INF]),
    "max": ([("max", 0, 1)], [1, 3, NAN, 2, -INF], [2, 2, 1, NAN, 0], [2, 3, NAN, NAN, 0]),
    "mod": ([("mod", 0, 1)], [7, -7, 7.5, 7, 6], [4, 4, 2, -4, 3], [3, 1, 1.5, -1, 0]),
    "pow": ([("pow", 0, 1)], [-2, -2, -2, 0, 5], [3, 2, 0.5, 0, 0], [-8, 4, NAN, 1, 1]),
    "pow of 0": ([("pow", 0, 1)], [0, 0, 4, -4, 2], [2, -1, 0.5, -1, 10], [0, INF, 2, -0.25, 1024]),
    "where": ([("const", 7), ("where", 0, 1, 2)], [0, 1, NAN, -1, 0], [1, 2, 3, 4, NAN], [7, 2, 3, 4, 7]),
    "const": ([("const", -INF)], [1] * 5, [1] * 5, [-INF] * 5),
    "tanh": ([("tanh", 0)], [-INF, INF, 0, NAN, 30], [0] * 5, [-1, 1, 0, NAN, 1]),
    "sigmoid": ([("sigmoid", 0)], [-INF, INF, 0, NAN, 200], [0] * 5, [0, 1, 0.5, NAN, 1]),
}


@pytest.mark.parametrize("name", EXACT)
def test_special_values(name: str, device: str) -> None:
    code, a, b, expected = EXACT[name]
    inputs = [guarded(torch.tensor(x, dtype=torch.float32, device=device)) for x in (a, b)]
    y = map(inputs, code, empty(5, device=device))
    assert torch.equal(y.nan_to_num(1e9, 1e10, -1e10), torch.tensor(expected).nan_to_num(1e9, 1e10, -1e10).to(device))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(1,), (3, 5, 7), (2, 33, 65)], ids=str)
def test_sizes_and_dtypes(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    x, b = normal(*shape, device=device, dtype=dtype), normal(*shape, device=device, dtype=dtype)
    check([x, b], AXPY, empty(*shape, device=device, dtype=dtype))


@pytest.mark.parametrize("N", [31, 32, 33, 64, 65])
def test_sizes_around_a_block(N: int, device: str) -> None:
    x, out = normal(N, device=device), empty(N, device=device)
    _, [launch] = map_launches([x], [("neg", 0)], out, config={"BLOCK": 32, "num_warps": 1})
    launch.run()
    assert torch.equal(out, -x)


VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "whole": lambda x: x,
    "transposed": lambda x: x.mT.contiguous().mT,
    "channels last": lambda x: x.movedim(1, -1).contiguous().movedim(-1, 1),
    "repeated": lambda x: x[:, :1].expand_as(x),
    "one": lambda x: x[:1, :1, :1].expand_as(x),
    "cut": lambda x: x.repeat(1, 1, 2)[:, :, 1::2],
}


@pytest.mark.parametrize("of_out", ["whole", "channels last", "transposed", "cut"])
@pytest.mark.parametrize("of_input", VIEWS)
def test_views(of_input: str, of_out: str, device: str) -> None:
    x, b = VIEWS[of_input](normal(3, 6, 10, device=device)), normal(3, 6, 10, device=device)
    out = guarded(VIEWS[of_out](torch.full((3, 6, 10), NAN, device=device)))
    check([x, b], AXPY, out)


def test_writes_into_a_part_of_a_tensor(device: str) -> None:
    whole = normal(4, 9, device=device)
    before, x = whole.clone(), normal(4, 5, device=device)
    map([x], [], whole[:, 2:7])
    before[:, 2:7] = x
    assert torch.equal(whole, before)


def test_in_place(device: str) -> None:
    x, b = normal(5, 7, device=device), normal(5, 7, device=device)
    expected = map_ref([x, b], AXPY, x)
    assert torch.allclose(map([x, b], AXPY, x), expected, rtol=1e-6, atol=1e-6)


def test_sixteen_inputs_each_in_its_place(device: str) -> None:
    inputs = [normal(3, 4, device=device) for _ in range(16)]
    code: list[Any] = []
    for k in range(16):
        register = 16 + len(code)
        code += [("const", float(k + 1)), ("mul", k, register)]
        code += [("add", register - 1, register + 1)] if k else []
    check(inputs, code, empty(3, 4, device=device))


def test_no_inputs(device: str) -> None:
    assert (map([], [("const", 3)], empty(7, device=device, dtype=torch.int32)) == 3).all()


WHOLE = [torch.int64, torch.int32, torch.uint8]


@pytest.mark.parametrize("target", [*WHOLE, torch.float16], ids=str)
@pytest.mark.parametrize("source", [*WHOLE, torch.float32], ids=str)
def test_converts(source: torch.dtype, target: torch.dtype, device: str) -> None:
    x = guarded(torch.tensor([0, 1, 7, 100, 200], device=device).to(source))
    y = map([x], [("const", 0.75), ("add", 0, 1)], empty(5, device=device, dtype=target))
    assert torch.equal(y, (x.float() + 0.75).to(target))
    assert torch.equal(map([x], [], empty(5, device=device, dtype=target)), x.to(target))


@pytest.mark.parametrize(("dtype", "expected"), [
    (torch.uint8, [0, 0, 255, 255, 3, 0]),
    (torch.int32, [0, -(2**31), 2**31 - 128, 300, 3, -5]),
    (torch.int64, [0, -(2**63), 2**63 - 2**39, 300, 3, -5]),
], ids=str)  # fmt: skip
def test_whole_numbers_are_held_within_their_range(dtype: torch.dtype, expected: list[int], device: str) -> None:
    x = guarded(torch.tensor([NAN, -INF, INF, 300, 3.9, -5.9], device=device))
    for code in ([], [("const", 0), ("add", 0, 1)]):
        y = map([x], code, empty(6, device=device, dtype=dtype))
        assert y.tolist() == expected


def test_a_copy_is_exact(device: str) -> None:
    x = torch.tensor([2**62 + 1, -(2**53) - 1, 3], device=device)
    assert torch.equal(map([x], [], torch.zeros_like(x)), x)


ONE = torch.ones(2, 3)
BAD: dict[str, tuple[list[torch.Tensor], list[Any], torch.Tensor, str]] = {
    "many": ([ONE] * 17, [("neg", 0)], ONE, "inputs: expected at most 16, got 17"),
    "shape": ([torch.ones(3)], [("neg", 0)], ONE, r"input 0: expected shape \(2, 3\), got \(3,\)"),
    "dtype": ([ONE.bool()], [("neg", 0)], ONE, "input 0: expected dtype .* got bool"),
    "repeated": ([ONE], [("neg", 0)], torch.ones(1, 3).expand(2, 3), "out: expected a place for each element"),
    "nothing": ([ONE, ONE], [], ONE, "code: expected instructions, or one input to copy, got none for 2 inputs"),
    "long": ([ONE], [("neg", 0)] * 257, ONE, "code: expected at most 256 instructions, got 257"),
    "name": ([ONE], [("negate", 0)], ONE, r"code 0: expected an instruction and its operands, got \['negate', 0\]"),
    "arity": ([ONE], [("add", 0)], ONE, r"code 0: expected an instruction and its operands, got \['add', 0\]"),
    "ahead": ([ONE], [("neg", 0), ("neg", 2)], ONE, r"code 1: expected registers below 2, got \['neg', 2\]"),
    "behind": ([ONE], [("neg", -1)], ONE, r"code 0: expected registers below 1, got \['neg', -1\]"),
    "bool": ([ONE], [("neg", True)], ONE, r"code 0: expected registers below 1, got \['neg', True\]"),
    "word": ([ONE], [("const", "1")], ONE, "code 0: expected a number, got '1'"),
    "huge": ([ONE], [("const", 1e39)], ONE, r"code: expected constants within float32, got 1e\+39"),
    "size": ([], [("const", 1)], torch.ones(1).expand(2**31), "elements of out: expected a whole number from 1"),
}


@pytest.mark.parametrize("bad", BAD)
def test_refuses(bad: str, device: str) -> None:
    inputs, code, out, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        map(inputs, code, out)


def test_describes_the_fewest_axes() -> None:
    x = torch.empty(2, 64, 8, 8, device="meta")
    y = torch.empty(2, 8, 8, 64, device="meta").permute(0, 3, 1, 2)
    _, [same] = map_launches([y], [("silu", 0)], y, arch=90)
    assert (same.constants["SHAPE"], same.constants["STRIDES"], same.grid) == ((8192,), (1,), (8, 1, 1))
    row = torch.empty(2, 64, 1, 1, device="meta").expand_as(x)
    _, [moved] = map_launches([x, row], [("add", 0, 1)], y, arch=90)
    assert moved.constants["SHAPE"] == (64, 64, 2)
    assert moved.constants["STRIDES"] == (64, 1, 4096, 1, 0, 64)
    assert moved.constants["Y_STRIDES"] == (1, 64, 4096)
    assert map_cost([x, row], [("add", 0, 1)], y) == ((2 * 8192 + 128) * 4, 8192)

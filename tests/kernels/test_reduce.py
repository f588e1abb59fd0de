import pytest
import torch
from testing import assert_as_good_as, guarded

from fewstep.errors import InputError
from fewstep.kernels.reduce import Kind, reduce, reduce_cost, reduce_launches, reduce_ref

KINDS: list[Kind] = ["mean", "sum", "max", "min"]
NAN = float("nan")


def normal(*shape: int, device: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return guarded((torch.randn(*shape, device=device) + 1).to(dtype))


def check(x: torch.Tensor, kind: Kind, axes: int = 1, out: torch.Tensor | None = None) -> None:
    eager, truth = reduce_ref(x, kind, axes), reduce_ref(x.double(), kind, axes)
    y = reduce(x, kind, axes, out=out)
    assert_as_good_as(y, eager.to(y.dtype), truth)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_sizes(kind: Kind, dtype: torch.dtype, device: str) -> None:
    for shape, axes in (((1,), 1), ((3, 5), 1), ((3, 5), 2), ((2, 3, 4, 7), 2), ((70, 33), 1), ((2, 2051), 1)):
        check(normal(*shape, device=device, dtype=dtype), kind, axes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("D", [7, 8, 9, 16, 17])
@pytest.mark.parametrize("N", [3, 4, 5])
def test_sizes_around_a_block(N: int, D: int, kind: Kind, device: str) -> None:
    x = normal(N, D, device=device) * (-1 if kind == "max" else 1) - (9 if kind == "max" else -9)
    y, [launch] = reduce_launches(x, kind, config={"BLOCK_N": 4, "BLOCK_D": 8, "num_warps": 1})
    launch.run()
    assert_as_good_as(y, reduce_ref(x, kind), reduce_ref(x.double(), kind))


def test_takes_and_gives_views(device: str) -> None:
    x = normal(4, 6, 5, 8, device=device)
    for view, axes in ((x.movedim(1, -1), 1), (x[:, ::2, 1:, 3:], 2), (x.mT, 2), (x[:, :1].expand(-1, 3, -1, -1), 3)):
        shape = view.shape[: 4 - axes]
        wide = torch.full((*shape[:-1], 2 * shape[-1]), NAN, device=device)
        check(view, "mean", axes)
        check(view, "max", axes, out=wide[..., ::2])
        assert wide[..., 1::2].isnan().all()


def test_gives_another_dtype(device: str) -> None:
    x = normal(3, 40, device=device, dtype=torch.float16)
    check(x, "sum", out=torch.empty(3, device=device))


@pytest.mark.parametrize("kind", KINDS)
def test_keeps_what_is_no_number(kind: Kind, device: str) -> None:
    x = normal(3, 9, device=device)
    x[0, 4] = NAN
    y = reduce(x, kind)
    assert y[0].isnan() and y[1:].isfinite().all()


def test_the_least_and_the_greatest_of_infinities(device: str) -> None:
    x = torch.tensor([[float("inf")] * 3, [float("-inf")] * 3], device=device)
    assert torch.equal(reduce(x, "max"), x[:, 0]) and torch.equal(reduce(x, "min"), x[:, 0])


ONE = torch.ones(2, 3)
BAD = {
    "axes": ({"x": ONE, "kind": "sum", "axes": 3}, "axes: expected a whole number from 1 to 2, got 3"),
    "kind": ({"x": ONE, "kind": "prod"}, "kind: expected 'mean' or 'sum' or 'max' or 'min', got 'prod'"),
    "dtype": ({"x": ONE.int(), "kind": "sum"}, "x: expected dtype .*, got int32"),
    "empty": ({"x": ONE[:, :0], "kind": "sum"}, r"x: expected shape \(any, any\), got \(2, 0\)"),
    "out": ({"x": ONE, "kind": "sum", "out": ONE[0]}, r"out: expected shape \(2\), got \(3,\)"),
    "repeated": ({"x": ONE, "kind": "sum", "out": ONE[0, :1].expand(2)}, "out: expected a place for each element"),
    "rows": ({"x": ONE[:1].expand(2**30 + 1, 3), "kind": "sum"}, "rows: expected a whole number from 1 to 1073741824"),
    "row": ({"x": ONE[:, :1].expand(2, 2**30 + 1), "kind": "sum"}, "elements of a row: expected a whole number from 1"),
}


@pytest.mark.parametrize("bad", BAD)
def test_refuses(bad: str, device: str) -> None:
    arguments, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        reduce(**arguments)  # type: ignore[arg-type]


def test_describes_a_launch_without_memory() -> None:
    x = torch.empty(2, 8, 8, 64, device="meta").permute(0, 3, 1, 2)
    y, [launch] = reduce_launches(x, "mean", 2, arch=90)
    assert y.shape == (2, 64) and launch.grid == (8, 1, 1) and launch.constants["COLUMNS"] == (64,)
    assert reduce_cost(x, "mean", 2) == ((8192 + 128) * 4, 8192)

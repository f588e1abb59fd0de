import pytest
import torch
from testing import assert_as_good_as, guarded

from fewstep.errors import InputError
from fewstep.kernels.softmax import softmax, softmax_cost, softmax_launches, softmax_ref

INF = float("inf")
# Rows that are masked have a sum of 0, by which numpy does not divide in silence.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")


def normal(*shape: int, device: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return guarded((3 * torch.randn(*shape, device=device)).to(dtype))


def check(x: torch.Tensor, out: torch.Tensor | None = None) -> None:
    eager, truth = softmax_ref(x), softmax_ref(x.double())
    y = softmax(x, out=out)
    assert_as_good_as(y, eager.to(y.dtype), truth)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 77), (40, 65), (2, 8193)], ids=str)
def test_sizes(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    check(normal(*shape, device=device, dtype=dtype))


@pytest.mark.parametrize("D", [7, 8, 9, 24, 25])
@pytest.mark.parametrize("N", [3, 4, 5])
def test_sizes_around_a_block(N: int, D: int, device: str) -> None:
    for x in (normal(N, D, device=device), normal(N, 2 * D, device=device)[:, ::2] - 80):
        y, [launch] = softmax_launches(x, config={"BLOCK_N": 4, "BLOCK_D": 8, "num_warps": 1})
        launch.run()
        assert_as_good_as(y, softmax_ref(x), softmax_ref(x.double()))


def test_takes_and_gives_views(device: str) -> None:
    x = normal(4, 6, 5, 8, device=device)
    for view in (x.movedim(1, -1), x[:, ::2, 1:, 3:], x.mT, x[:, :1].expand(-1, 3, -1, -1)):
        wide = torch.full((*view.shape[:-1], 2 * view.shape[-1]), float("nan"), device=device)
        check(view)
        check(view, out=wide[..., ::2])
        assert wide[..., 1::2].isnan().all()


@pytest.mark.parametrize("D", [9, 8200])
def test_in_place(D: int, device: str) -> None:
    x = normal(3, D, device=device)
    expected = softmax_ref(x.double())
    assert torch.allclose(softmax(x, out=x).double(), expected, rtol=1e-5, atol=1e-9)


def test_gives_another_dtype(device: str) -> None:
    check(normal(3, 40, device=device, dtype=torch.float16), out=torch.empty(3, 40, device=device))


@pytest.mark.parametrize("D", [6, 20])
def test_infinite_logits(D: int, device: str) -> None:
    """-inf takes no part; a row of nothing else has no softmax, as in PyTorch."""
    x = normal(3, D, device=device)
    x[0, ::2], x[1], x[2, : D - 1] = -INF, -INF, -INF
    y, [launch] = softmax_launches(x, config={"BLOCK_N": 4, "BLOCK_D": 8, "num_warps": 1})
    launch.run()
    assert (y[0, ::2] == 0).all() and torch.allclose(y[0], softmax_ref(x[0]), rtol=1e-6)
    assert y[1].isnan().all()
    assert y[2].tolist() == [0.0] * (D - 1) + [1.0]


ONE = torch.ones(2, 3)
BAD = {
    "dtype": ({"x": ONE.int()}, "x: expected dtype .*, got int32"),
    "empty": ({"x": ONE[:, :0]}, r"x: expected shape \(any, any\), got \(2, 0\)"),
    "scalar": ({"x": ONE[0, 0]}, r"x: expected shape \(any\), got \(\)"),
    "out": ({"x": ONE, "out": ONE[0]}, r"out: expected shape \(2, 3\), got \(3,\)"),
    "repeated": ({"x": ONE, "out": ONE[:1].expand(2, 3)}, "out: expected a place for each element"),
    "rows": ({"x": ONE[:1].expand(2**30 + 1, 3)}, "rows: expected a whole number from 1 to 1073741824"),
    "row": ({"x": ONE[:, :1].expand(2, 2**30 + 1)}, "D: expected a whole number from 1"),
}


@pytest.mark.parametrize("bad", BAD)
def test_refuses(bad: str, device: str) -> None:
    arguments, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        softmax(**arguments)


def test_describes_a_launch_without_memory() -> None:
    x = torch.empty(2, 8, 64, 77, device="meta")
    y, [launch] = softmax_launches(x, arch=90)
    assert y.shape == x.shape and launch.grid == (128, 1, 1) and launch.constants["IS_HELD"]
    [long] = softmax_launches(torch.empty(2, 8193, device="meta"), arch=90)[1]
    assert not long.constants["IS_HELD"]
    assert softmax_cost(x) == (8 * x.numel(), 5 * x.numel())

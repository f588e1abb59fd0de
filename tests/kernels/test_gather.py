import pytest
import torch
from testing import guarded

from fewstep.errors import InputError
from fewstep.kernels.gather import gather, gather_cost, gather_launches, gather_ref


def normal(*shape: int, device: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return guarded(torch.randn(*shape, device=device).to(dtype))


def indices(*shape: int, V: int, device: str) -> torch.Tensor:
    return guarded(torch.randint(0, V, shape, device=device))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("table", "rows"), [((1,), (1,)), ((7, 5), (3,)), ((9, 3, 65), (2, 5)), ((4, 1030), ())], ids=str
)
def test_takes_rows(table: tuple[int, ...], rows: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    x, at = normal(*table, device=device, dtype=dtype), indices(*rows, V=table[0], device=device)
    assert torch.equal(gather(x, at), x[at])


@pytest.mark.parametrize("D", [7, 8, 9, 17])
@pytest.mark.parametrize("N", [3, 4, 5, 9])
def test_sizes_around_a_block(N: int, D: int, device: str) -> None:
    x, at = normal(6, D, device=device), indices(N, V=6, device=device)
    y, [launch] = gather_launches(x, at, config={"BLOCK_N": 4, "BLOCK_D": 8, "num_warps": 1})
    launch.run()
    assert torch.equal(y, x[at])


def test_takes_and_gives_views(device: str) -> None:
    x, at = normal(6, 8, 10, device=device), indices(4, 6, V=3, device=device)
    for table, rows in ((x.mT, at), (x[::2, :, 1::3], at.mT), (x.movedim(1, 0), at[:, :1].expand(4, 5))):
        wide = torch.full((*rows.shape, *table.shape[1:-1], 2 * table.shape[-1]), float("nan"), device=device)
        assert torch.equal(gather(table, rows), table[rows])
        gather(table, rows, out=wide[..., 1::2])
        assert torch.equal(wide[..., 1::2], table[rows]) and wide[..., ::2].isnan().all()


def test_an_index_of_no_row_is_nan(device: str) -> None:
    x = normal(6, 5, device=device)
    at = torch.tensor([5, 6, -1, 2**62, -(2**63), 0], device=device)
    y = gather(x, at)
    assert torch.equal(y.nan_to_num(9), gather_ref(x, at).nan_to_num(9))
    assert torch.equal(y[[0, 5]], x[[5, 0]]) and y[1:5].isnan().all()


def test_gives_another_dtype(device: str) -> None:
    x, at = normal(6, 5, device=device, dtype=torch.float16), indices(4, V=6, device=device)
    assert torch.equal(gather(x, at, out=torch.empty(4, 5, device=device)), x[at].float())


ONE, AT = torch.ones(2, 3), torch.zeros(4, dtype=torch.int64)
BAD = {
    "dtype": ({"table": ONE.int(), "indices": AT}, "table: expected dtype .*, got int32"),
    "indices": ({"table": ONE, "indices": AT.int()}, "indices: expected dtype int64, got int32"),
    "empty": ({"table": ONE[:, :0], "indices": AT}, r"table: expected shape \(any, any\), got \(2, 0\)"),
    "none": ({"table": ONE, "indices": AT[:0]}, r"indices: expected shape \(any\), got \(0,\)"),
    "out": ({"table": ONE, "indices": AT, "out": ONE}, r"out: expected shape \(4, 3\), got \(2, 3\)"),
    "repeated": ({"table": ONE, "indices": AT, "out": ONE[:1].expand(4, 3)}, "out: expected a place for each element"),
    "rows": (
        {"table": ONE, "indices": AT[:1].expand(2**30 + 1)},
        "indices: expected a whole number from 1 to 1073741824",
    ),
    "row": (
        {"table": ONE[:, :1].expand(2, 2**30 + 1), "indices": AT},
        "elements of a row: expected a whole number from",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_refuses(bad: str, device: str) -> None:
    arguments, message = BAD[bad]
    with pytest.raises(InputError, match=message):
        gather(**arguments)


def test_describes_a_launch_without_memory() -> None:
    table, at = torch.empty(49408, 768, device="meta"), torch.empty(2, 77, dtype=torch.int64, device="meta")
    y, [launch] = gather_launches(table, at, arch=90)
    assert y.shape == (2, 77, 768) and launch.grid == (154, 1, 1)
    assert gather_cost(table, at) == (154 * 8 + 2 * 154 * 768 * 4, 0)

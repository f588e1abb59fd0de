from typing import Any

import numpy as np
import pytest
import torch
from testing import assert_as_good_as, guarded
from torch import Tensor

from fewstep import _runtime
from fewstep.errors import InputError
from fewstep.kernels.sampler_step import COLUMNS, GUIDED_COLUMNS, sampler_step, sampler_step_launches, sampler_step_ref

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SHAPES = [(1, 1), (2, 3, 5, 7), (3, 5, 4, 6), (2, 513), (1, 512)]
STEP = 2  # of the tables below


def coefficients(device: str, *lead: int, columns: tuple[str, ...] = COLUMNS, **fixed: float) -> Tensor:
    """A table of four steps with every term alive and about half of y clamped, but for the columns given."""
    table = torch.randn(*lead, 4, len(columns), generator=torch.Generator().manual_seed(3)) + 0.5
    table[..., columns.index("r")] = table[..., columns.index("r")].abs()
    for name, value in fixed.items():
        table[..., columns.index(name)] = value
    return guarded(table.to(device))


def seed_tensor(B: int, device: str) -> Tensor:
    seeds = np.arange(B, dtype=np.uint64) * np.uint64(2**63 + 77) + np.uint64(2**63 + 5)
    return guarded(torch.from_numpy(seeds.view(np.int64)).to(device))


def noise(seeds: Tensor, step: int, x: Tensor) -> Tensor:
    """The runtime's, in x's shape."""
    whole = [seed % 2**64 for seed in seeds.tolist()]
    z = _runtime.normal(whole, step, x[0].numel())
    return torch.from_numpy(z.copy()).reshape(x.shape).to(x.device)


def inputs(shape: tuple[int, ...], dtype: torch.dtype, device: str, count: int = 3) -> list[Tensor]:
    """x, then tensors of the network's dtype."""
    drawn = torch.randn(count, *shape, generator=torch.Generator().manual_seed(len(shape))).to(device) + 0.5
    return [guarded(drawn[0]), *(guarded(t.to(dtype)) for t in drawn[1:])]


def check(got: Tensor, *args: Tensor, output: int, **options: Tensor | None) -> None:
    x, m, table = args

    def wide(t: Tensor | None) -> Tensor | None:
        return None if t is None else t.double()

    in_double = {name: wide(t) for name, t in options.items()}
    truth = sampler_step_ref(x.double(), m.double(), table.double(), STEP, **in_double)[output]
    assert_as_good_as(got, sampler_step_ref(x, m, table, STEP, **options)[output], truth)


CASES = [(shape, dtype, shape != (3, 5, 4, 6)) for shape in SHAPES for dtype in DTYPES]


@pytest.mark.parametrize(
    ("shape", "dtype", "of_each_sample"), [*CASES, ((1, 4, 64, 64), torch.bfloat16, False)], ids=str
)
def test_all_terms(shape: tuple[int, ...], dtype: torch.dtype, of_each_sample: bool, device: str) -> None:
    x, m = inputs(shape, dtype, device, 2)
    history = guarded(x.flip(-1) * 2)
    table = coefficients(device, shape[0]) if of_each_sample else coefficients(device)
    seeds = seed_tensor(shape[0], device)
    flag = guarded(torch.zeros(shape[0], dtype=torch.int32, device=device))
    got = sampler_step(x, m, table, STEP, history=history, seeds=seeds, flag=flag)
    z = noise(seeds, STEP + 1, x)
    for output, mine in enumerate(got):
        assert mine is not None and mine.dtype == (dtype if output == 1 else torch.float32)
        check(mine, x, m, table, output=output, history=history, z=z)
    assert not flag.any()


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (1, 16, 8, 8), (1, 18, 4, 9)], ids=str)
@pytest.mark.parametrize("last", ["x", "m", "history", "x, m, history"])
def test_channels_last(shape: tuple[int, ...], last: str, device: str) -> None:
    """The noise is that of the logical order, whatever the order in memory."""
    x, m = inputs(shape, torch.float32, device, 2)
    h = guarded(x.flip(1) * 2)
    names = ("x", "m", "history")
    x, m, h = (
        guarded(t.to(memory_format=torch.channels_last)) if name in last.split(", ") else t
        for name, t in zip(names, (x, m, h), strict=True)
    )
    table, seeds = coefficients(device), seed_tensor(shape[0], device)
    got = sampler_step(x, m, table, STEP, history=h, seeds=seeds)
    assert [t.stride() for t in got if t is not None] == [torch.empty_like(t).stride() for t in (x, m, x)]
    for output, mine in enumerate(got):
        assert mine is not None
        check(mine, x, m, table, output=output, history=h, z=noise(seeds, STEP + 1, x))


@pytest.mark.parametrize("config", [{"BLOCK_C": 2, "BLOCK_P": 8}, {"BLOCK_C": 4, "BLOCK_P": 4}], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 4, 3, 3), (1, 5, 2, 6)], ids=str)
def test_tiles_of_channels_and_pixels(shape: tuple[int, ...], config: dict[str, int], device: str) -> None:
    """Several programs on each axis, with and without tails, with whole Philox blocks in a channel and without."""
    x, m = (guarded(t.to(memory_format=torch.channels_last)) for t in inputs(shape, torch.float32, device, 2))
    table, seeds = coefficients(device), seed_tensor(shape[0], device)
    got, launches = sampler_step_launches(x, m, table, STEP, seeds=seeds, config=config)
    assert launches[0].grid[0] == -(-shape[1] // config["BLOCK_C"]) * -(-shape[2] * shape[3] // config["BLOCK_P"])
    launches[0].run()
    check(got[0], x, m, table, output=0, z=noise(seeds, STEP + 1, x))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_guidance(dtype: torch.dtype, device: str) -> None:
    """The halves of a batch of twice the size, and a slice of channels: a network that predicts a variance too."""
    x = inputs((2, 3, 6, 5), dtype, device, 1)[0]
    m, m2 = inputs((4, 6, 6, 5), dtype, device, 2)[1][:, :3].chunk(2)
    table = coefficients(device, columns=GUIDED_COLUMNS)
    x_next, u, y = sampler_step(x, m, table, STEP, m2=m2, history=x, seeds=seed_tensor(2, device))
    z = noise(seed_tensor(2, device), STEP + 1, x)
    for output, mine in enumerate((x_next, u, y)):
        assert mine is not None
        check(mine, x, m, table, output=output, m2=m2, history=x, z=z)


def test_terms_of_zero_are_not_read(device: str) -> None:
    x, m = inputs((2, 40), torch.float32, device, 2)
    nan = torch.full_like(x, float("nan"))
    table = coefficients(device, e=0, c=0)
    x_next, _, y = sampler_step(x, m, table, STEP, history=nan)
    assert y is not None
    check(x_next, x, m, table, output=0)
    check(y, x, m, table, output=2)
    check(sampler_step(x, m, table, STEP, noise=nan)[0], x, m, table, output=0)
    with np.errstate(invalid="ignore"):
        x_next = sampler_step(x, m, coefficients(device, c=0, d=0, p=float("inf"), r=float("inf")), STEP)[0]
    check(x_next, x, m, coefficients(device, c=0, d=0), output=0)


def test_noise_without_seeds_is_not_made_up(device: str) -> None:
    x, m = inputs((1, 8), torch.float32, device, 2)
    assert sampler_step(x, m, coefficients(device), STEP)[0].isnan().all()


def test_nothing_is_clamped_at_infinity(device: str) -> None:
    x, m = inputs((2, 40), torch.float32, device, 2)
    table = coefficients(device, r=float("inf"))
    y = sampler_step(x * 1e20, m, table, STEP, history=x)[2]
    assert y is not None
    check(y, x * 1e20, m, table, output=2)


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf"), 60000.0])
def test_flags_the_sample_that_is_not_finite(broken: float, device: str) -> None:
    """NaN passes through the clamp; what overflows the network's float16 is found too."""
    x, m = inputs((3, 1030), torch.float16, device, 2)
    table = coefficients(device, c=0, e=0, s=2)
    table[:, COLUMNS.index("a")] = 1
    x[1, 1027] = broken
    flag = torch.zeros(3, dtype=torch.int32, device=device)
    with np.errstate(over="ignore", invalid="ignore"):
        y = sampler_step(x, m, table, STEP, history=x, flag=flag)[2]
    assert flag.tolist() == [0, 1, 0] and y is not None
    assert y[1, 1027].isnan() == (broken != broken)


def test_a_flag_is_never_cleared(device: str) -> None:
    x, m = inputs((2, 8), torch.float32, device, 2)
    flag = torch.tensor([0, 1], dtype=torch.int32, device=device)
    sampler_step(x, m, coefficients(device, c=0), STEP, flag=flag)
    assert flag.tolist() == [0, 1]


def test_the_same_bits_twice_and_in_any_batch(device: str) -> None:
    x, m = inputs((3, 4, 8, 8), torch.bfloat16, device, 2)
    table, seeds = coefficients(device), seed_tensor(3, device)
    together = sampler_step(x, m, table, STEP, seeds=seeds)[0]
    assert torch.equal(together, sampler_step(x, m, table, STEP, seeds=seeds)[0])
    assert torch.equal(together[1:2], sampler_step(x[1:2], m[1:2], table, STEP, seeds=seeds[1:2])[0])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_given_noise_and_what_a_mask_keeps(
    shape: tuple[int, ...], masked: bool, dtype: torch.dtype, device: str
) -> None:
    x, m = inputs(shape, dtype, device, 2)
    z, known = (guarded(t) for t in inputs((2, *shape), torch.float32, device, 1)[0].flip(-1))
    table, history = coefficients(device), guarded(x.flip(-1) * 2)
    flag = guarded(torch.zeros(shape[0], dtype=torch.int32, device=device))
    kept = {"mask": guarded(known.abs().clamp(max=1)), "known": known} if masked else {}
    got = sampler_step(x, m, table, STEP, history=history, noise=z, flag=flag, **kept)
    for output, mine in enumerate(got):
        assert mine is not None
        check(mine, x, m, table, output=output, history=history, z=z, **kept)
    assert not flag.any()


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (1, 16, 8, 8)], ids=str)
def test_a_mask_of_one_channel_is_of_all(shape: tuple[int, ...], device: str) -> None:
    """x channels last, what is given in rows, as a plan has them."""
    x, m = (guarded(t.to(memory_format=torch.channels_last)) for t in inputs(shape, torch.float32, device, 2))
    z, known = (guarded(t) for t in inputs((2, *shape), torch.float32, device, 1)[0])
    plane = torch.arange(shape[2] * shape[3], device=device).reshape(1, 1, *shape[2:]) % 3 / 2
    mask = guarded(plane.repeat(shape[0], 1, 1, 1))
    table = coefficients(device)
    got = sampler_step(x, m, table, STEP, noise=z, mask=mask.expand(shape), known=known)[0]
    check(got, x, m, table, output=0, z=z, mask=mask.expand(shape), known=known)
    whole, none = (mask == 1).expand(shape), (mask == 0).expand(shape)
    assert torch.equal(got[none], known[none])
    assert torch.equal(got[whole], sampler_step(x, m, table, STEP, noise=z)[0][whole])


def test_a_picture_that_is_not_finite_is_seen(device: str) -> None:
    x, m = inputs((2, 40), torch.float32, device, 2)
    flag = guarded(torch.zeros(2, dtype=torch.int32, device=device))
    mask, known = torch.zeros_like(x), torch.zeros_like(x)
    known[1, 39] = float("inf")
    sampler_step(x, m, coefficients(device, c=0), STEP, mask=mask, known=known, flag=flag)
    assert flag.tolist() == [0, 1]


BAD = [
    ("at least two axes", {"x": torch.ones(3)}),
    (r"x: expected dtype float32, got float16", {"x": torch.ones(2, 8).half()}),
    (r"m: expected shape \(2, 8\), got \(2, 7\)", {"m": torch.ones(2, 7)}),
    (r"m: expected dtype .*got int32", {"m": torch.ones(2, 8, dtype=torch.int32)}),
    (r"m: expected contiguous or channels_last", {"m": torch.ones(4, 2, 2).permute(2, 1, 0), "x": torch.ones(2, 2, 4)}),
    (r"m: expected contiguous or channels_last",
     {"m": torch.ones(2, 2, 4, 6)[..., :4], "x": torch.ones(2, 2, 4, 4)}),
    (r"m2: expected shape", {"m2": torch.ones(2, 7)}),
    (r"m2: expected torch.float32 and strides \(8, 1\) as m", {"m2": torch.ones(2, 8).half()}),
    (r"history: expected dtype float32, got float16", {"history": torch.ones(2, 8).half()}),
    (r"table: expected shape \(any, 9\), got \(4, 8\)", {"table": torch.ones(4, 8)}),
    (r"table: expected shape \(any, 11\), got \(4, 9\)", {"m2": torch.ones(2, 8)}),
    (r"table: expected shape \(2, any, 9\), got \(3, 4, 9\)", {"table": torch.ones(3, 4, 9)}),
    (r"table: expected dtype float32", {"table": torch.ones(4, 9).double()}),
    (r"table: expected stride 1", {"table": torch.ones(9, 4).T}),
    (r"i: expected a whole number from 0 to 3, got 4", {"i": 4}),
    (r"i: expected a whole number from 0 to 3, got -1", {"i": -1}),
    (r"seeds: expected dtype int64", {"seeds": torch.ones(2, dtype=torch.int32)}),
    (r"seeds: expected shape \(2\), got \(3,\)", {"seeds": torch.ones(3, dtype=torch.int64)}),
    (r"noise: expected noise or seeds, got both",
     {"noise": torch.ones(2, 8), "seeds": torch.ones(2, dtype=torch.int64)}),
    (r"noise: expected shape \(2, 8\), got \(2, 7\)", {"noise": torch.ones(2, 7)}),
    (r"noise: expected dtype float32, got float16", {"noise": torch.ones(2, 8).half()}),
    (r"known: expected mask and known together", {"mask": torch.ones(2, 8)}),
    (r"mask: expected mask and known together", {"known": torch.ones(2, 8)}),
    (r"mask: expected contiguous or channels_last",
     {"x": torch.ones(2, 2, 4), "m": torch.ones(2, 2, 4), "mask": torch.ones(4, 2, 2).permute(2, 1, 0),
      "known": torch.ones(2, 2, 4)}),
    (r"known: expected dtype float32", {"mask": torch.ones(2, 8), "known": torch.ones(2, 8).double()}),
    (r"flag: expected contiguous", {"flag": torch.ones(4, dtype=torch.int32)[::2]}),
    (r"expected tensors on one device", {"m": torch.ones(2, 8, device="meta")}),
]  # fmt: skip


@pytest.mark.parametrize(("message", "change"), BAD, ids=[message for message, _ in BAD])
def test_refuses(message: str, change: dict[str, Any], device: str) -> None:
    good: dict[str, Any] = {"x": torch.ones(2, 8), "m": torch.ones(2, 8), "table": torch.ones(4, 9), "i": 0}
    moved: dict[str, Any] = {
        name: value.to(device) if isinstance(value, Tensor) and not value.is_meta else value
        for name, value in (good | change).items()
    }
    with pytest.raises(InputError, match=message):
        sampler_step(**moved)

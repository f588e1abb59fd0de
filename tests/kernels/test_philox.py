"""The kernels' noise is the runtime's, number by number, to 1e-6."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from testing import guarded

from fewstep import _runtime
from fewstep.kernels.philox import _box_muller, normal_at, normal_row

SEEDS = [0, 1, 2**31, 2**32 - 1, 2**63 + 12345, 2**64 - 1]
TOLERANCE = 1e-6  # 2 ulp at |x| = 5.7


@triton.jit
def _row_kernel(seed_ptr, z_ptr, step, first, R: tl.constexpr, N: tl.constexpr):  # fmt: skip
    """z: R rows of N, row r from element first + r N. first: a multiple of 4."""
    row = tl.arange(0, R)[:, None]
    block = (first + row * N) // 4 + tl.arange(0, N // 4)[None, :]
    z = normal_row(tl.load(seed_ptr), step, block.to(tl.int64), R, N)
    tl.store(z_ptr + row * N + tl.arange(0, N)[None, :], z)


@triton.jit
def _at_kernel(seed_ptr, z_ptr, step, first, N: tl.constexpr):  # fmt: skip
    n = tl.arange(0, N)
    tl.store(z_ptr + n, normal_at(tl.load(seed_ptr), step, (first + n).to(tl.int64)))


@triton.jit
def _box_muller_kernel(word_ptr, z_ptr, N, BLOCK: tl.constexpr):  # fmt: skip
    n = tl.arange(0, BLOCK)
    radius = tl.load(word_ptr + n, mask=n < N, other=0).to(tl.uint32, bitcast=True)
    angle = tl.load(word_ptr + N + n, mask=n < N, other=0).to(tl.uint32, bitcast=True)
    cosine, sine = _box_muller(radius, angle)
    tl.store(z_ptr + n, cosine, mask=n < N)
    tl.store(z_ptr + N + n, sine, mask=n < N)


def seed_tensor(seed: int, device: str) -> torch.Tensor:
    return guarded(torch.from_numpy(np.array([seed], np.uint64).view(np.int64)).to(device))


def worst(z: torch.Tensor, seed: int, step: int, first: int) -> float:
    expected = torch.from_numpy(_runtime.normal([seed], step, z.numel(), first).copy()).reshape(z.shape)
    return float((z.cpu().double() - expected.double()).abs().max())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("first", [0, 4096, 2**34 - 512, 2**45 + 4], ids=hex)
def test_rows_are_the_runtimes_stream(seed: int, first: int, device: str) -> None:
    z = torch.empty(2, 512, device=device)
    step = first % 7 + 1
    _row_kernel[(1,)](seed_tensor(seed, device), z, step, first, R=2, N=512)
    assert worst(z, seed, step, first) <= TOLERANCE


@pytest.mark.parametrize("step", [0, 1, 3, 2**31 - 1])
@pytest.mark.parametrize("first", [0, 1, 2, 3, 2**34 - 5], ids=hex)
def test_single_elements_are_the_runtimes_stream(first: int, step: int, device: str) -> None:
    z = torch.empty(64, device=device)
    _at_kernel[(1,)](seed_tensor(2**63 + 5, device), z, step, first, N=64)
    assert worst(z, 2**63 + 5, step, first) <= TOLERANCE


def test_a_hundred_thousand_numbers(device: str) -> None:
    z = torch.empty(32, 2, 2048, device=device)
    for i, part in enumerate(z):
        _row_kernel[(1,)](seed_tensor(7, device), part, 1, i * 4096, R=2, N=2048)
    assert worst(z, 7, 1, 0) <= TOLERANCE


def test_extreme_radii_and_every_quarter_turn(device: str) -> None:
    """u1 from 2^-24 to 1 and where its logarithm changes exponent, with angles on and beside each eighth of a turn."""
    k = np.array([1, 2, 3, 47, 2641, 5575, 2**23, 11863282, 11863283, 11863284, 14791362, 2**24 - 1, 2**24])
    j = (np.arange(8)[:, None] * 2**21 + np.array([-70000, -1, 0, 1, 70000])).ravel() % 2**24
    k, j = (x.ravel() for x in np.broadcast_arrays(k[:, None], j))
    words = torch.from_numpy(np.stack([(k - 1) << 8 | 173, j << 8 | 91]).astype(np.uint32).view(np.int32)).to(device)
    z = torch.empty(2, k.size, device=device)
    _box_muller_kernel[(1,)](guarded(words), z, k.size, BLOCK=1024)
    radius, angle = np.sqrt(-2 * np.log(k / 2**24)), j * (2 * np.pi / 2**24)
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)]).astype(np.float32)
    assert np.abs(z.cpu().numpy().astype(np.float64) - expected).max() <= TOLERANCE
    assert np.abs(expected).max() > 5.7

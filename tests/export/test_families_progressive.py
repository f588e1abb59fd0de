"""Progressive distillation's schedule against its authors' sampler, written out from dpm.py and schedules.py."""

from collections.abc import Callable

import numpy as np
import pytest

from fewstep.engine.checks import Array
from fewstep.engine.sampling import sample
from fewstep.export.families.catalogue import FAMILIES

NOISE = np.random.default_rng(3).standard_normal((2, 3, 4, 4))
X_0: dict[str, Callable[..., Array]] = {
    "progressive-cifar10": lambda z, m, alpha, sigma: m,
    "progressive-cifar10-v": lambda z, m, a, s: a * z - s * m,
}


def network(z: Array, u: float) -> Array:
    return 1.5 * np.tanh(1.3 * z[:, ::-1] + u)


def levels(u: float) -> tuple[float, float]:
    """alpha and sigma of logsnr_schedule(u), from 20 to -20."""
    b = np.arctan(np.exp(-10.0))
    logsnr = -2 * np.log(np.tan((np.arctan(np.exp(10.0)) - b) * u + b))
    return float(1 / np.sqrt(1 + np.exp(-logsnr))), float(1 / np.sqrt(1 + np.exp(logsnr)))


def written_out(name: str, N: int) -> Array:
    z = NOISE
    for i in reversed(range(N)):
        alpha, sigma = levels((i + 1) / N)
        x = np.clip(X_0[name](z, network(z, (i + 1) / N), alpha, sigma), -1, 1)
        alpha_s, sigma_s = levels(i / N)
        z = x if i == 0 else alpha_s * x + sigma_s * (z - alpha * x) / sigma
    return z


@pytest.mark.parametrize("N", [1, 2, 4, 8])
@pytest.mark.parametrize("name", X_0)
def test_the_contract_is_the_authors_sampler(name: str, N: int) -> None:
    table = FAMILIES[name].contract.table(N)
    assert table.tau.tolist() == [1000 * (i + 1) / N - 1 for i in reversed(range(N))]
    found = sample(table, lambda z, tau: network(z, (tau + 1) / 1000), NOISE, lambda i: NOISE)
    assert np.abs(found - written_out(name, N)).max() <= 1e-12

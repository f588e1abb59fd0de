"""The statistics of GroupNorm alone, (B, G) fp32: what a convolution needs to normalise its input as it reads it.

mean is that of each group's channels and pixels, rstd = 1 / sqrt(variance + eps).
"""

import torch
from torch import Tensor

from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.group_norm_problem import check_problem
from fewstep.kernels.group_norm_split import statistics_launches
from fewstep.kernels.launch import Launch, run_all
from fewstep.kernels.tuned import Config

Statistics = tuple[Tensor, Tensor]


def group_norm_stats_ref(x: Tensor, groups: int, eps: float = 1e-5) -> Statistics:
    """What the kernel must equal: fp32, or fp64 of an fp64 x."""
    x = x.to(torch.promote_types(x.dtype, torch.float32)).reshape(len(x), groups, -1)
    variance, mean = torch.var_mean(x, dim=-1, correction=0)
    return mean, torch.rsqrt(variance + eps)


def group_norm_stats_launches(
    x: Tensor, groups: int, eps: float = 1e-5, *, arch: int | None = None, config: Config | None = None
) -> tuple[Statistics, list[Launch]]:
    """mean and rstd, allocated, and the launches that write them. On meta, for sm_<arch>."""
    problem = check_problem(x, groups, eps, arch=arch)
    (mean, rstd), launches = statistics_launches(problem, problem.config("group_norm_stats", config, held=False))
    return (mean[:, 0], rstd[:, 0]), launches


def group_norm_stats(x: Tensor, groups: int, eps: float = 1e-5) -> Statistics:
    """Returns mean and rstd, (B, groups) fp32. x: (B, C, H, W) or (B, C, N), any strides. Raises InputError."""
    statistics, launches = group_norm_stats_launches(x, groups, eps)
    run_all(launches)
    return statistics


def group_norm_stats_cost(x: Tensor, groups: int, eps: float = 1e-5, **_: object) -> Cost:
    return Cost(nbytes(x) + 8 * len(x) * groups, 4 * x.numel())

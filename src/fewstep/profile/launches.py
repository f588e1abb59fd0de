"""How much a call asks of the host and of the device."""

import re
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity

STARTS_WORK = re.compile(r"cu(da)?(Launch|GraphLaunch|Memcpy|Memset)")


class Launches(NamedTuple):
    """host: calls of the driver that start work, a graph being one; device: kernels, copies and fills."""

    host: int
    device: int


def count_launches(run: Callable[[], object]) -> Launches:
    """Of one call, as PyTorch's profiler sees it. The call must be warm."""
    with torch.profiler.profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as found:
        run()
        torch.cuda.synchronize()
    events = [event for event in found.events() or () if not event.is_user_annotation]
    return Launches(
        host=sum(event.device_type == DeviceType.CPU and bool(STARTS_WORK.match(event.name)) for event in events),
        device=sum(event.device_type == DeviceType.CUDA for event in events),
    )

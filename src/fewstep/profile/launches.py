"""How many kernels a call starts on the device."""

from collections.abc import Callable

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity


def count_launches(run: Callable[[], object]) -> int:
    """Kernels, copies and fills of one call, as PyTorch's profiler sees them. The call must be warm."""
    with torch.profiler.profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as found:
        run()
        torch.cuda.synchronize()
    return sum(event.device_type == DeviceType.CUDA and not event.is_user_annotation for event in found.events() or ())

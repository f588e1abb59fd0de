import ctypes
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("reproducible", derandomize=True, deadline=None, database=None, max_examples=50)
settings.load_profile("reproducible")


def gpu() -> bool:
    try:
        return bool(ctypes.CDLL("libcuda.so.1").cuInit(0) == 0)
    except OSError:
        return False


if not gpu():
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined, so before any is imported


# Files whose few tests take minutes: they go first, so that no worker is left alone with one at the end.
LONG = (
    "test_aot.py", "test_cuda_images.py", "test_gpu_plans.py", "test_mutants.py", "test_published.py", "test_export.py",
    "test_networks.py", "test_staging_families.py", "test_folders.py", "test_families_sd.py", "test_plan_loras.py",
    "test_editing.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where kernel tests run: a GPU if there is one.

    Memory that PyTorch leaves uninitialised is NaN meanwhile, with a margin on either side that must stay as it is.
    """
    import torch
    from bounds import watch_reads
    from interpreter import correct
    from testing import Margins
    from torch import Tensor

    torch.manual_seed(0)  # the same numbers in any order of tests
    Margins.live.clear()
    margins = Margins()

    def poisoned(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def empty(*args: Any, **kwargs: Any) -> Tensor:
            return margins.around(make(*args, **kwargs))

        return empty

    for owner, name in ((torch, "empty"), (torch, "empty_like"), (torch, "empty_strided"), (Tensor, "new_empty")):
        monkeypatch.setattr(owner, name, poisoned(getattr(owner, name)))
    if not torch.cuda.is_available():
        correct(monkeypatch)
        watch_reads(monkeypatch, Margins.ranges)
    yield "cuda" if torch.cuda.is_available() else "cpu"
    margins.check()

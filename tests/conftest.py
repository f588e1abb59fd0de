from collections.abc import Callable

import pytest
from hypothesis import settings

settings.register_profile("reproducible", derandomize=True, deadline=None, database=None, max_examples=50)
settings.load_profile("reproducible")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where kernel tests run: a GPU if there is one. Memory that PyTorch leaves uninitialised is NaN meanwhile."""
    import torch
    from torch import Tensor

    def poisoned(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def empty(*args: object, **kwargs: object) -> Tensor:
            out = make(*args, **kwargs)
            return out.fill_(float("nan")) if out.is_floating_point() else out

        return empty

    for owner, name in ((torch, "empty"), (torch, "empty_like"), (torch, "empty_strided"), (Tensor, "new_empty")):
        monkeypatch.setattr(owner, name, poisoned(getattr(owner, name)))
    return "cuda" if torch.cuda.is_available() else "cpu"

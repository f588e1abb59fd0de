"""What a sampler step's operands have to be."""

from collections.abc import Mapping, Sequence

from torch import Tensor, float32, int32, int64

from fewstep.errors import InputError
from fewstep.kernels.checks import check_device, check_dtype, check_range, check_shape

MAX_ROWS = 65535  # of a launch's second axis


def is_flat(x: Tensor) -> bool:
    """Whether the elements of a sample lie at one stride in the order of the noise."""
    try:
        x.view(len(x), 1, -1)
    except RuntimeError:
        return False
    return True


def check_step(
    x: Tensor,
    m: Tensor,
    table: Tensor,
    i: int,
    columns: Sequence[str],
    m2: Tensor | None,
    history: Tensor | None,
    seeds: Tensor | None,
    flag: Tensor | None,
) -> None:
    if x.dim() < 2:
        raise InputError(f"x: expected shape (B, ...) of at least two axes, got {tuple(x.shape)}")
    check_shape("x", x, (None,) * x.dim())
    B = len(x)
    check_range("B", B, 1, MAX_ROWS)
    check_dtype("x", x, (float32,))
    check_dtype("m", m)
    _check_states(x, {"x": x, "m": m, "m2": m2, "history": history})
    if m2 is not None and (m2.dtype, m2.stride()) != (m.dtype, m.stride()):
        raise InputError(f"m2: expected {m.dtype} and strides {m.stride()} as m, got {m2.dtype}, {m2.stride()}")
    if history is not None:
        check_dtype("history", history, (float32,))
    check_shape("table", table, (None, len(columns)) if table.dim() == 2 else (B, None, len(columns)))
    check_dtype("table", table, (float32,))
    if table.stride(-1) != 1:
        raise InputError(f"table: expected stride 1 in the last axis, got strides {table.stride()}")
    check_range("i", i, 0, table.shape[-2] - 1)
    for name, t, dtype in (("seeds", seeds, int64), ("flag", flag, int32)):
        if t is not None:
            check_shape(name, t, (B,))
            check_dtype(name, t, (dtype,))
            if not t.is_contiguous():
                raise InputError(f"{name}: expected contiguous, got strides {t.stride()}")
    check_device(x=x, m=m, m2=m2, history=history, table=table, seeds=seeds, flag=flag)


def check_given(
    x: Tensor, seeds: Tensor | None, noise: Tensor | None, mask: Tensor | None, known: Tensor | None
) -> None:
    if noise is not None and seeds is not None:
        raise InputError("noise: expected noise or seeds, got both")
    if (mask is None) != (known is None):
        raise InputError(f"{'mask' if mask is None else 'known'}: expected mask and known together, got one of them")
    given = {"noise": noise, "mask": mask, "known": known}
    _check_states(x, given)
    for name, t in given.items():
        if t is not None:
            check_dtype(name, t, (float32,))
    check_device(x=x, **given)


def _check_states(x: Tensor, states: Mapping[str, Tensor | None]) -> None:
    for name, t in states.items():
        if t is None:
            continue
        check_shape(name, t, tuple(x.shape))
        if not (is_flat(t) or (t.dim() == 4 and is_flat(t[:, 0]))):
            raise InputError(f"{name}: expected contiguous or channels_last samples, got strides {t.stride()}")

"""Attention: y = softmax(scale q k^T) v, of any number of queries and keys; self, cross and joint attention alike.

q is (B, H, N, D), k and v are (B, G, M, D), G dividing H: query head h reads key head h // (H // G). Any strides with
the last axis contiguous. lengths (B,), int32: only that many of each sample's keys count; where none does, y is 0.
mask (B, H, N, M) of any strides is added to the logits, and -inf leaves a key out; in causal order query i reads the
keys up to i alone. Both of heads up to 256, not in fp8.
fp16, bf16 and fp32 with fp32 logits, softmax and sums; e4m3 (sm_89 on), where q * q_scale, k * k_scale and v * v_scale
are meant, with probabilities in e4m3 too. An fp8 v may be contiguous along M instead, as sm_90's instructions want it.
attention_small, attention_flash and attention_wide hold the kernels.
"""

import math

import torch
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.attention_flash import LARGE_SHARED_MEMORY, flash_launch
from fewstep.kernels.attention_problem import FP8, Problem, check_attention
from fewstep.kernels.attention_small import SMALL_D, SMALL_M, small_launch
from fewstep.kernels.attention_wide import wide_launch
from fewstep.kernels.checks import FLOATS, check_device, check_dtype, check_last_contiguous, check_shape
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, run_all
from fewstep.kernels.tuned import Config, tuned


def attention_ref(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    lengths: Tensor | None = None,
    mask: Tensor | None = None,
    causal: bool = False,
) -> Tensor:
    """What the kernel must equal, in the dtype of its inputs."""
    bias = None if mask is None else mask.to(q.dtype)
    if lengths is not None or causal:
        bias = torch.zeros((), dtype=q.dtype, device=q.device) if bias is None else bias
        n, m = (torch.arange(x.shape[2], device=q.device) for x in (q, k))
        if lengths is not None:
            bias = bias.masked_fill(m >= lengths[:, None, None, None], -math.inf)
        if causal:
            bias = bias.masked_fill(m > n[:, None], -math.inf)
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)


def attention_launches(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    lengths: Tensor | None = None,
    mask: Tensor | None = None,
    causal: bool = False,
    q_scale: float = 1.0,
    k_scale: float = 1.0,
    v_scale: float = 1.0,
    out_dtype: torch.dtype | None = None,
    out: Tensor | None = None,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """y, allocated unless it is out, and the launches that write it. On meta, for sm_<arch>."""
    check_attention(q, k, v, lengths, mask, causal)
    B, H, N, D = q.shape
    is_fp8 = q.dtype == FP8
    scale = D**-0.5 if scale is None else scale
    for name, value in (("scale", scale), ("q_scale", q_scale), ("k_scale", k_scale), ("v_scale", v_scale)):
        if not 0 < value < math.inf:
            raise InputError(f"{name}: expected a positive number, got {value}")
    if not is_fp8 and (q_scale, k_scale, v_scale, out_dtype) != (1.0, 1.0, 1.0, None):
        raise InputError(f"q_scale, k_scale, v_scale, out_dtype: expected with fp8 alone, got {q.dtype} q")
    out_dtype = (out_dtype or torch.bfloat16) if is_fp8 else q.dtype
    if out_dtype not in FLOATS:
        raise InputError(f"out_dtype: expected float16 or bfloat16 or float32, got {out_dtype}")
    chosen_arch = arch or architecture(q)
    if is_fp8 and q.device.type != "cpu" and chosen_arch < 89:
        raise InputError(f"q: expected fp8 on sm_89 or later, got sm_{chosen_arch}")

    y = torch.empty((B, N, H, D), dtype=out_dtype, device=q.device).transpose(1, 2) if out is None else out
    check_shape("out", y, (B, H, N, D))
    check_dtype("out", y)
    check_last_contiguous("out", y)
    check_device(q=q, out=y)
    problem = Problem(q, k, v, y, lengths, scale * q_scale * k_scale, v_scale, chosen_arch, mask, causal)
    if mask is not None or causal:
        return y, [flash_launch(problem, config)]
    return y, [_launch(problem, config or tuned("attention", problem.key, chosen_arch))]


def _launch(problem: Problem, config: Config | None) -> Launch:
    """By the config's keys if there is one, by the sizes otherwise."""
    *_, M, D = problem.sizes
    if config:
        launch = wide_launch if "CHUNK_D" in config else flash_launch if "BLOCK_M" in config else small_launch
    elif problem.q.dtype == torch.float32:  # its products need no tensor cores, but registers for whole operands
        launch = flash_launch if D <= 64 else wide_launch
    elif D > 256 and problem.arch not in LARGE_SHARED_MEMORY:
        launch = wide_launch
    else:
        launch = small_launch if M <= SMALL_M and D <= SMALL_D else flash_launch
    return launch(problem, config)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    lengths: Tensor | None = None,
    mask: Tensor | None = None,
    causal: bool = False,
    q_scale: float = 1.0,
    k_scale: float = 1.0,
    v_scale: float = 1.0,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """Returns softmax(scale q k^T) v: (B, H, N, D), a view of a contiguous (B, N, H, D) tensor.

    q: (B, H, N, D); k, v: (B, G, M, D), G dividing H; scale: D**-0.5 unless given; lengths: int32 (B,), how many of the
    M keys count; mask: (B, H, N, M), added to the logits; causal: query i reads keys up to i alone.
    The scales and out_dtype (bfloat16 unless given) are for fp8 inputs. Raises InputError.
    """
    y, launches = attention_launches(
        q, k, v, scale=scale, lengths=lengths, mask=mask, causal=causal,
        q_scale=q_scale, k_scale=k_scale, v_scale=v_scale, out_dtype=out_dtype,
    )  # fmt: skip
    run_all(launches)
    return y


def attention_cost(q: Tensor, k: Tensor, v: Tensor, **_: object) -> Cost:
    """Counts every key, whatever the lengths: their values are on the device."""
    return Cost(nbytes(q, k, v, q), 4 * q.numel() * k.shape[2])

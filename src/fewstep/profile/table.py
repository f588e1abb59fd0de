"""Every operation at every shape that is measured: one list of all cases."""

from fewstep.profile.case import Case
from fewstep.profile.cases import (
    ada_norm,
    attention,
    conv2d,
    decode,
    glu,
    group_norm,
    initial_state,
    linear_attention,
    matmul,
    norm_rope,
    sampler_step,
)

CASES: list[Case] = [
    *ada_norm.CASES,
    *attention.CASES,
    *conv2d.CASES,
    *decode.CASES,
    *glu.CASES,
    *group_norm.CASES,
    *initial_state.CASES,
    *linear_attention.CASES,
    *matmul.CASES,
    *norm_rope.CASES,
    *sampler_step.CASES,
]

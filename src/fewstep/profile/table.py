"""Every operation at every shape that is measured: one list of all cases."""

from fewstep.profile.case import Case
from fewstep.profile.cases import (
    ada_norm,
    attention,
    conv2d,
    decode,
    gather,
    glu,
    group_norm,
    initial_state,
    linear_attention,
    map,
    matmul,
    norm_rope,
    reduce,
    sampler_step,
    softmax,
)

CASES: list[Case] = [
    *ada_norm.CASES,
    *attention.CASES,
    *conv2d.CASES,
    *decode.CASES,
    *gather.CASES,
    *glu.CASES,
    *group_norm.CASES,
    *initial_state.CASES,
    *linear_attention.CASES,
    *map.CASES,
    *matmul.CASES,
    *norm_rope.CASES,
    *reduce.CASES,
    *sampler_step.CASES,
    *softmax.CASES,
]

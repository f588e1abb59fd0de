"""Each pattern by itself, and what looks like it but is not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from testing import assert_as_good_as
from torch import Tensor, nn
from torch.nn import functional as F

from fewstep.engine.backends.torch.fuse.report import Report
from fewstep.engine.backends.torch.fuse.rewrite import rewrite
from fewstep.engine.backends.torch.fuse.stage import split_at_prompt

BOOKKEEPING = {"call shared", "constant folded", "conv2d in channels_last"}
D = 16


Formula = Callable[..., Any]


@pytest.fixture
def device() -> str:
    """Without margins of NaN, which tracing would take for operations."""
    return "cuda" if torch.cuda.is_available() else "cpu"


class Written(nn.Module):
    """A formula of tensors and of four parameters, none of them 0 or 1."""

    def __init__(self, formula: Formula) -> None:
        super().__init__()
        self.formula = formula
        generator = torch.Generator().manual_seed(1)
        self.w, self.b = (nn.Parameter(torch.randn(D, generator=generator) + 0.5) for _ in range(2))
        self.W, self.V = (nn.Parameter(torch.randn(D, D, generator=generator) / 4) for _ in range(2))

    def forward(self, *args: Tensor) -> Any:
        return self.formula(self, *args)


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(shape, generator=generator) + 0.3 for shape in shapes]


@torch.no_grad()
def fused(formula: Formula, *args: Tensor, device: str) -> tuple[dict[str, int], Report]:
    """What the formula was fused into, once the result was found as good as before."""
    module = Written(formula).to(device)
    args = tuple(x.to(device) for x in args)
    graph, report = rewrite(module, args)
    wide = Written(formula).double().to(device)
    truth = wide(*(x.double() if x.is_floating_point() else x for x in args))
    results = [(out,) if isinstance(out, Tensor) else out for out in (graph(*args), module(*args), truth)]
    for got, eager, exact in zip(*results, strict=True):
        assert_as_good_as(got, eager, exact)
    return {name: count for name, count in report.fused.items() if count and name not in BOOKKEEPING}, report


def layer(x: Tensor) -> Tensor:
    return F.layer_norm(x, (D,))


X, M = (2, 5, D), (2, D)
NORMS: dict[str, tuple[Any, ...]] = {
    "layer_norm": (lambda s, x: F.layer_norm(x, (D,), s.w, s.b, 1e-3), X),
    "rms_norm": (lambda s, x: F.rms_norm(x, (D,), s.w, 1e-3), X),
    "rms_norm ": (lambda s, x: x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-3) * s.w + s.b, X),
    "layer_norm + scale, shift": (lambda s, x, m, n: layer(x) * (1 + m[:, None]) + n[:, None], X, M, M),
    "layer_norm + scale, shift ": (lambda s, x, m, n: n[:, None] + (1 + m)[:, None] * layer(x), X, M, M),
    "sum + layer_norm": (lambda s, x, y: (F.layer_norm(x + y, (D,), s.w, s.b), x + y), X, X),
    "sum + rms_norm": (lambda s, x, y: F.rms_norm(x + y, (D,), s.w, 1e-5), X, X),
    "gate, sum + layer_norm": (lambda s, x, y, g: (layer(x + g[:, None] * y), x + g[:, None] * y), X, X, M),
    "gate, sum + layer_norm + scale, shift": (
        lambda s, x, y, g, m, n: layer(y * g[:, None] + x) * (1 + m[:, None]) + n[:, None],
        *(X, X, M, M, M),
    ),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms(name: str, device: str) -> None:
    formula, *shapes = NORMS[name]
    found, report = fused(formula, *tensors(*shapes), device=device)
    assert found == {name.strip(): 1} and not report.left


def test_a_norm_of_four_axes_is_one_of_rows(device: str) -> None:
    x, y = tensors((2, 3, 4, D), (2, 3, 4, D))
    found, _ = fused(lambda s, x, y: F.layer_norm(x.transpose(1, 2) + y.transpose(1, 2), (D,)), x, y, device=device)
    assert found == {"layer_norm": 1}


def test_a_sum_that_is_needed_before_its_norm_stays(device: str) -> None:
    def formula(s: Written, x: Tensor, y: Tensor, m: Tensor) -> Any:
        total = x + y
        shift = (total.mean(dim=1) + m)[:, None]  # hangs on the sum, and comes before the norm's end
        return F.layer_norm(total, (D,)) * (1 + m[:, None]) + shift

    found, _ = fused(formula, *tensors(X, X, M), device=device)
    assert found == {"layer_norm + scale, shift": 1}


LOOKALIKES: dict[str, tuple[Any, ...]] = {
    "scale without one": (lambda s, x, m: layer(x) * m[:, None] + m[:, None], {"layer_norm": 1}, X, M),
    "two plus scale": (lambda s, x, m: layer(x) * (2 + m[:, None]) + m[:, None], {"layer_norm": 1}, X, M),
    "one with a factor": (
        lambda s, x, m: layer(x) * torch.add(m[:, None], 1, alpha=2) + m[:, None],
        *({"layer_norm": 1}, X, M),
    ),
    "eps with a factor": (
        lambda s, x: x * torch.rsqrt(torch.add(x.pow(2).mean(-1, keepdim=True), 1e-3, alpha=99)),
        *({}, X),
    ),
    "shift first": (lambda s, x, m: (layer(x) + m[:, None]) * (1 + m[:, None]), {"layer_norm": 1}, X, M),
    "norm used twice": (
        lambda s, x, m: (lambda y: y * (1 + m[:, None]) + m[:, None] + y)(layer(x)),
        *({"layer_norm": 1}, X, M),
    ),
    "shift of each token": (lambda s, x, y: layer(x) * (1 + y) + y, {"layer_norm": 1}, X, X),
    "broadcast sum": (lambda s, x, y: layer(x + y), {"layer_norm": 1}, X, (2, 1, D)),
    "difference": (lambda s, x, y: layer(torch.sub(x, y)), {"layer_norm": 1}, X, X),
    "sum with a factor": (lambda s, x, y: layer(torch.add(x, y, alpha=2)), {"layer_norm": 1}, X, X),
    "cubes": (lambda s, x: x * torch.rsqrt(x.pow(3).abs().mean(-1, keepdim=True) + 1e-3), {}, X),
    "mean over tokens": (lambda s, x: x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-3), {}, X),
    "another's rms": (lambda s, x, y: y * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-3), {}, X, X),
    "sigmoid gate": (lambda s, x: (lambda a, b: a * b.sigmoid())(*x.chunk(2, -1)), {}, X),
    "gelu of the value": (lambda s, x: (lambda a, b: F.gelu(a) * b)(*x.chunk(2, -1)), {}, X),
    "halves of tokens": (lambda s, x: (lambda a, b: a * F.gelu(b))(*x.chunk(2, 1)), {}, (2, 4, D)),
}


@pytest.mark.parametrize("name", LOOKALIKES)
def test_lookalikes_are_not_taken_for_more_than_they_are(name: str, device: str) -> None:
    formula, expected, *shapes = LOOKALIKES[name]
    found, _ = fused(formula, *tensors(*shapes), device=device)
    assert found == expected


@pytest.mark.parametrize("kind", ["geglu", "geglu_tanh"])
def test_geglu(kind: str, device: str) -> None:
    approximate = {"geglu": "none", "geglu_tanh": "tanh"}[kind]

    def formula(s: Written, x: Tensor) -> Any:
        value, gate = F.linear(x, s.W, s.b).chunk(2, dim=-1)
        return value * F.gelu(gate, approximate=approximate)

    assert fused(formula, *tensors(X), device=device)[0] == {kind: 1}


IMAGE, PIXEL = (2, D, 3, 2), (2, D, 1, 1)
GROUP_NORMS: dict[str, tuple[Any, ...]] = {
    "group_norm": (lambda s, x: F.group_norm(x, 4, s.w, s.b, 1e-3), IMAGE),
    "group_norm ": (lambda s, x: F.group_norm(x, 2), (2, D, 5)),
    "group_norm + silu": (lambda s, x: F.silu(F.group_norm(x, 4, s.w, s.b)), IMAGE),
    "group_norm + scale, shift": (lambda s, x, m, n: F.group_norm(x, 4, s.w) * (1 + m) + n, IMAGE, PIXEL, PIXEL),
    "group_norm + scale, shift + silu": (
        lambda s, x, m, n: F.silu(F.group_norm(x, 4, s.w, s.b) * (1 + m) + n),
        *(IMAGE, PIXEL, PIXEL),
    ),
    "sum + group_norm + silu": (
        lambda s, x, y: (F.silu(F.group_norm(x + y, 4, s.w, s.b)), (x + y) * 2),
        *(IMAGE, IMAGE),
    ),
    "sum + group_norm": (lambda s, m, x: F.group_norm(m + x, 4, s.w, s.b), PIXEL, IMAGE),
    "sum + group_norm + scale, shift + silu": (
        lambda s, x, y, m, n: F.silu(F.group_norm(x + y, 4, s.w, s.b) * (1 + m) + n),
        *(IMAGE, IMAGE, PIXEL, PIXEL),
    ),
}


@pytest.mark.parametrize("name", GROUP_NORMS)
def test_group_norms(name: str, device: str) -> None:
    formula, *shapes = GROUP_NORMS[name]
    found, report = fused(formula, *tensors(*shapes), device=device)
    assert found == {name.strip(): 1} and not report.left


def test_a_bias_moves_into_the_embedding_that_follows(device: str) -> None:
    def formula(s: Written, x: Tensor, t: Tensor) -> Any:
        embedding = F.linear(t, s.V, s.w)[:, :, None, None]
        return F.group_norm(F.conv2d(x, s.W[:, :, None, None], s.b) + embedding, 4)

    def needed_elsewhere(s: Written, x: Tensor, t: Tensor) -> Any:
        embedding = F.linear(t, s.V, s.w)
        return F.conv2d(x, s.W[:, :, None, None], s.b) + embedding[:, :, None, None], embedding

    assert fused(formula, *tensors(IMAGE, M), device=device)[0] == {
        "bias moved into an embedding": 1,
        "sum + group_norm": 1,
    }
    assert not fused(needed_elsewhere, *tensors(IMAGE, M), device=device)[0]


def heads(x: Tensor) -> Any:
    return x.unflatten(-1, (2, -1)).transpose(1, 2)


def lengths_of(bias: bool, negated: bool = False) -> Formula:
    """Attention of which the first `lengths` keys count, as a mask of bools or as a bias."""

    def formula(s: Written, x: Tensor, lengths: Tensor) -> Tensor:
        keep = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        mask = ((1 - keep.to(x.dtype)) * -10000.0 if bias else keep)[:, None, None]
        mask = -mask if negated else mask
        return F.scaled_dot_product_attention(heads(x), heads(x) + 1, heads(x) - 1, attn_mask=mask)

    return formula


@pytest.mark.parametrize("bias", [False, True])
def test_attention_of_lengths(bias: bool, device: str) -> None:
    lengths = torch.tensor([4, 1])
    assert fused(lengths_of(bias), *tensors(X), lengths, device=device)[0] == {"attention of lengths": 1}


def test_attention_and_what_of_it_is_left(device: str) -> None:
    def attend(**options: Any) -> Formula:
        return lambda s, x: F.scaled_dot_product_attention(heads(x), heads(x * 2), heads(x + 1), **options)

    (x,) = tensors(X)
    assert fused(attend(), x, device=device)[0] == {"attention": 1}
    assert fused(attend(scale=0.3), x, device=device)[0] == {"attention": 1}
    found, report = fused(attend(is_causal=True), x, device=device)
    assert not found and [left.why for left in report.left] == ["a causal mask"]
    found, report = fused(lengths_of(True, negated=True), x, torch.tensor([5, 5]), device=device)
    assert not found and [left.why for left in report.left] == ["a mask that is no length"]


def test_linears_of_one_input_become_one(device: str) -> None:
    def formula(s: Written, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return F.linear(x, s.W, s.b), F.linear(x, s.V), F.linear(x, s.V, s.w), F.linear(y, s.W), F.linear(y, s.V)

    assert fused(formula, *tensors(X, (3, D)), device=device)[0] == {"linears of one input": 4}


def test_merged_weights_stay_the_module_s(device: str) -> None:
    module = Written(lambda s, x: F.linear(x, s.W) * F.linear(x, s.V)).to(device)
    (x,) = (t.to(device) for t in tensors(X))
    before = {name: p.clone() for name, p in module.named_parameters()}
    graph, _ = rewrite(module, (x,))
    assert all(torch.equal(p, before[name]) for name, p in module.named_parameters())
    again, _ = rewrite(module, (x,))
    with torch.no_grad():
        module.W.zero_()
        assert not graph(x).any() and not again(x).any()  # both read the one weight there is


@torch.no_grad()
def test_what_hangs_on_the_prompt_alone_leaves_the_loop(device: str) -> None:
    def formula(s: Written, u: Tensor, t: Tensor, text: Tensor, unused: Tensor) -> Any:
        keys, values = F.linear(text, s.W).chunk(2, dim=-1)
        return u * s.w.mean() + t * keys.sum() + values.mean() + text.max()

    module = Written(formula).to(device)
    u, t, text, unused = (x.to(device) for x in tensors(X, (1,), X, (1,)))
    graph, report = rewrite(module, (u, t, text, unused))
    once, step = split_at_prompt(graph, 2, report)
    handed = once(text, unused)
    assert torch.equal(step(u, t, *handed), module(u, t, text, unused))
    assert torch.equal(step(-u, t + 1, *handed), module(-u, t + 1, text, unused))
    assert report.fused["computed once a prompt"] == 7
    assert [node.target for node in step.graph.nodes if node.op == "call_function"].count(
        torch.ops.aten.linear.default
    ) == 0
    assert not {"text", "unused"} & {node.name for node in step.graph.nodes}


def test_a_constant_is_computed_once_and_randomness_every_time(device: str) -> None:
    module = Written(lambda s, x: x * s.w.exp() + torch.arange(D, device=x.device).cos() + torch.rand_like(s.w))
    module = module.to(device)
    (x,) = (t.to(device) for t in tensors(X))
    graph, report = rewrite(module, (x,))
    assert report.fused["constant folded"] == 2
    assert not torch.equal(graph(x), graph(x))

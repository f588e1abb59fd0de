from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lora_files import Factor, assert_fused, draw_factors, kohya, saved, tiny_unet, weight_of, weights
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fewstep.errors import InputError
from fewstep.export.lora.fuse import fuse, pairs
from fewstep.export.lora.lora import Lora, Target
from fewstep.export.lora.read_lora import read_lora

LINEAR = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
CONVOLUTION = "down_blocks.0.resnets.0.conv1"


@pytest.fixture
def unet() -> nn.Module:
    return tiny_unet("sd_turbo.unet")


def lora_of(factors: dict[str, Factor], name: str = "a") -> Lora:
    return Lora(
        name, {("unet", n): Target(f.down, f.up, (f.alpha or len(f.down)) / len(f.down)) for n, f in factors.items()}
    )


@pytest.mark.parametrize("strength", [1, 0.125, -0.7])
def test_strength_multiplies(unet: nn.Module, strength: float, tmp_path: Path) -> None:
    before, factors = weights(unet), draw_factors(unet)
    lora = read_lora(saved(tmp_path / "lora.safetensors", kohya(factors)), {"unet": unet})
    fuse({"unet": unet}, [(lora, strength)])
    assert_fused(unet, before, factors, strength)


def test_strength_0_changes_nothing(unet: nn.Module) -> None:
    before = weights(unet)
    fuse({"unet": unet}, [(lora_of(draw_factors(unet)), 0.0)])
    assert all(torch.equal(values, before[name]) for name, values in unet.state_dict().items())


def test_loras_add_up(unet: nn.Module) -> None:
    before = weights(unet)
    first, second = draw_factors(unet, [LINEAR, CONVOLUTION]), draw_factors(unet, [CONVOLUTION, "conv_in"], seed=1)
    fuse({"unet": unet}, [(lora_of(first), 0.5), (lora_of(second, "b"), -2.0)])
    for name in (LINEAR, CONVOLUTION, "conv_in"):
        delta = torch.zeros_like(before[f"{name}.weight"], dtype=torch.float64)
        for factors, strength in ((first, 0.5), (second, -2.0)):
            if name in factors:
                delta += strength * factors[name].delta()
        found = weight_of(unet, name)
        torch.testing.assert_close(found.double(), before[f"{name}.weight"].double() + delta, rtol=1e-6, atol=2e-6)


def test_a_fused_network_computes_what_the_unfused_pair_does(unet: nn.Module) -> None:
    factors = draw_factors(unet, [LINEAR, CONVOLUTION])
    torch.manual_seed(0)
    inputs = {LINEAR: torch.randn(2, 5, 8), CONVOLUTION: torch.randn(2, 8, 6, 6)}
    expected = {}
    for name, x in inputs.items():
        layer: Any = unet.get_submodule(name)
        factor = factors[name]
        if name == LINEAR:
            update = nn.functional.linear(nn.functional.linear(x, factor.down), factor.up)
        else:
            update = nn.functional.conv2d(nn.functional.conv2d(x, factor.down, padding=1), factor.up)
        expected[name] = layer(x) + 0.5 * update
    fuse({"unet": unet}, [(lora_of(factors), 1.0)])
    for name, x in inputs.items():
        torch.testing.assert_close(unet.get_submodule(name)(x), expected[name], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_halves_are_rounded_once(unet: nn.Module, dtype: torch.dtype) -> None:
    """Where W is about 0.05, fusing in float16 differs by up to 1.2e-4; float32, cast once, by half a step."""
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.normal_(0, 0.05)
    factors = {
        name: replace(f, down=f.down.to(dtype) / 8, up=f.up.to(dtype) / 8) for name, f in draw_factors(unet).items()
    }
    unet.to(dtype)
    before = weights(unet)
    fuse({"unet": unet}, [(lora_of(factors), 0.7)])
    worse = 0
    for name, factor in factors.items():
        base, found = before[f"{name}.weight"], weight_of(unet, name)
        truth = base.double() + 0.7 * factor.delta()
        assert found.dtype == dtype
        step = torch.finfo(dtype).eps * truth.abs()
        floor = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
        assert ((found.double() - truth).abs() <= 0.5 * step + floor + 1e-7).all()
        product = factor.up.flatten(1).float() @ factor.down.flatten(1).float()
        naive = base + ((0.7 * 0.5) * product.to(dtype)).view_as(base)
        worse += int(((naive.double() - truth).abs() > 0.5 * step + floor + 1e-7).any())
    assert worse > len(factors) // 2  # the bound is one that rounding on the way does not keep


def test_pairs_are_what_is_fused(unet: nn.Module, tmp_path: Path) -> None:
    factors = {name: replace(f, down=f.down.half(), up=f.up.half()) for name, f in draw_factors(unet).items()}
    first = read_lora(saved(tmp_path / "a.safetensors", kohya(factors)), {"unet": unet})
    second = lora_of(draw_factors(unet, [LINEAR], seed=3), "b")
    before = weights(unet)
    given = pairs([(first, 0.3), (second, 2.0)])
    assert given.keys() == {("unet", name) for name in factors} and len(given["unet", LINEAR]) == 2
    fuse({"unet": unet}, [(first, 0.3), (second, 2.0)])
    for (_, name), found in given.items():
        assert all(pair.down.dtype == pair.up.dtype == torch.float32 for pair in found)
        delta = sum(pair.scale * (pair.up.double() @ pair.down.double()) for pair in found)
        base = before[f"{name}.weight"]
        expected = base.double() + torch.as_tensor(delta).view_as(base)
        torch.testing.assert_close(weight_of(unet, name).double(), expected, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), True, "1"])
def test_a_strength_is_a_finite_number(unet: nn.Module, strength: Any) -> None:
    lora = lora_of(draw_factors(unet))
    with refused(unet, r"a: strength: expected a finite number"):
        fuse({"unet": unet}, [(lora, 1.0), (lora, strength)])
    with pytest.raises(InputError, match="a: strength: expected a finite number"):
        pairs([(lora, strength)])


@contextmanager
def refused(network: nn.Module, match: str) -> Iterator[None]:
    """Nothing of the network may have changed."""
    before = weights(network)
    with pytest.raises(InputError, match=match):
        yield
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())


def test_all_or_nothing(unet: nn.Module) -> None:
    """The last of the targets is the one that does not fit."""
    names = sorted(draw_factors(unet))
    factors = draw_factors(unet, names)
    last = names[-1]
    other = {**factors, last: replace(factors[last], up=torch.ones(99, 4))}
    with refused(unet, rf"b: unet\.{last}: expected an update of shape .*, got \(99, "):
        fuse({"unet": unet}, [(lora_of(factors), 1.0), (lora_of(other, "b"), 1.0)])
    with refused(unet, r"b: 1 of .* updates are of modules that the model has not: unet\.absent"):
        fuse({"unet": unet}, [(lora_of(factors), 1.0), (lora_of({**factors, "absent": factors[last]}, "b"), 1.0)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_a_sum_that_the_dtype_cannot_hold_is_refused(unet: nn.Module, dtype: torch.dtype) -> None:
    unet.to(dtype)
    names = sorted(draw_factors(unet))
    factors = draw_factors(unet, names)
    large = torch.finfo(dtype).max ** 0.5 * 2
    last = names[-1]
    factors[last] = Factor(torch.full_like(factors[last].down, large), torch.full_like(factors[last].up, large), None)
    with refused(unet, rf"a: unet\.{last}: the sum has values that are no finite {dtype}"):
        fuse({"unet": unet}, [(lora_of(factors), 1.0)])


def test_large_factors_that_cancel_are_fused(unet: nn.Module) -> None:
    """The bound by which most sums are seen to be finite is not what decides."""
    before = weights(unet)
    factor = draw_factors(unet, [LINEAR])[LINEAR]
    up = torch.full_like(factor.up, 1e19) * torch.tensor([1.0, -1.0, 1.0, -1.0])
    large = Factor(torch.full_like(factor.down, 1e19), up, None)
    fuse({"unet": unet}, [(lora_of({LINEAR: large}), 1.0)])
    torch.testing.assert_close(weight_of(unet, LINEAR), before[f"{LINEAR}.weight"], rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float8_e4m3fn], ids=str)
def test_weights_of_other_dtypes_are_refused(unet: nn.Module, dtype: torch.dtype) -> None:
    lora = lora_of(draw_factors(unet, [LINEAR]))
    unet.to(dtype)
    with pytest.raises(
        InputError, match=rf"unet\.{LINEAR}: expected a weight of float16, bfloat16 or float32, got {dtype}"
    ):
        fuse({"unet": unet}, [(lora, 1.0)])


def test_shapes_alone_are_not_fused(unet: nn.Module) -> None:
    lora = lora_of(draw_factors(unet, [LINEAR]))
    with pytest.raises(InputError, match=r"expected a weight with values, got one of the meta device"):
        fuse({"unet": unet.to("meta")}, [(lora, 1.0)])


class Largest(TorchDispatchMode):
    """elements: of the largest tensor that is made."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.elements = max(self.elements, out.numel())
        return out


def test_memory_is_that_of_one_weight(unet: nn.Module) -> None:
    lora = lora_of(draw_factors(unet))
    mode: Any = Largest
    with mode() as seen:
        fuse({"unet": unet}, [(lora, 1.0)])
    assert seen.elements <= max(parameter.numel() for parameter in unet.parameters())

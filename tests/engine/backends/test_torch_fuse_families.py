"""Every family's modules, rewritten: what is found in them, and that they compute what they did."""

import copy
from collections.abc import Callable

import pytest
import torch
from testing import assert_as_good_as
from torch import Tensor, nn

from fewstep.engine.backends.torch.backend import TorchBackend, fuse
from fewstep.engine.backends.torch.eager import generate
from fewstep.engine.backends.torch.fuse.report import Report
from fewstep.engine.backends.torch.generation import Generation
from fewstep.engine.backends.torch.program import Modules
from fewstep.errors import InputError
from fewstep.export.families.build import build
from fewstep.export.families.catalogue import FAMILIES

IMAGES = {"sd-turbo": 1, "sdxl-turbo": 1, "sana-sprint": 2, "flux-schnell": 2, "cd_imagenet64": 2}
CAUSAL = "a mask that is no length"
FUSED: dict[str, dict[str, dict[str, int]]] = {  # what each part's layers amount to, counted in the tiny configurations
    "sd-turbo": {
        "prompt": {"sum + layer_norm": 5, "linears of one input": 6},
        "denoiser": {
            "attention": 8,
            "geglu": 4,
            "group_norm + silu": 6,
            "bias moved into an embedding": 8,
            "sum + group_norm": 4,
            "sum + group_norm + silu": 11,
            "layer_norm": 4,
            "sum + layer_norm": 8,
            "upsample2x": 1,
            "conv2d in channels_last": 25,
            "computed once a prompt": 8 + 1 + 1 + 8 * 2,  # keys and values of 4 blocks: one product, split, shaped
        },
        "decoder": {
            "attention": 1,
            "group_norm": 1,
            "group_norm + silu": 8,
            "sum + group_norm + silu": 5,
            "upsample2x": 1,
            "conv2d in channels_last": 17,
        },
    },
    "sdxl-turbo": {
        "prompt": {"sum + layer_norm": 8},
        "denoiser": {"attention": 16, "geglu": 8, "group_norm + silu": 6, "layer_norm": 4, "sum + layer_norm": 20},
        "decoder": {"attention": 1, "group_norm + silu": 8, "sum + group_norm + silu": 5},
    },
    "sana-sprint": {
        "prompt": {},
        "denoiser": {
            "attention of lengths": 1,
            "linear_attention": 1,
            "depthwise_conv2d + gate": 1,
            "layer_norm + scale, shift": 1,
            "sum + layer_norm + scale, shift": 1,
            "gate, sum + layer_norm + scale, shift": 1,
            "rms_norm": 5,
        },
        "decoder": {"linear_attention": 1, "depthwise_conv2d + gate": 1, "rms_norm": 4, "upsample2x": 1},
    },
    "flux-schnell": {
        "prompt": {},
        "denoiser": {
            "attention": 2,
            "norm_rope": 1,
            "norm_rope of 2 streams": 1,
            "layer_norm + scale, shift": 4,
            "gate, sum + layer_norm + scale, shift": 2,
        },
        "decoder": {"attention": 1, "group_norm + silu": 8},
    },
    "cd_imagenet64": {
        "prompt": {},
        "denoiser": {
            "attention": 4,
            "group_norm": 4,
            "group_norm + silu": 5,
            "group_norm + scale, shift + silu": 10,
            "sum + group_norm + silu": 6,
            "upsample2x": 2,
        },
        "decoder": {},
    },
}
Case = tuple[str, Generation, Modules, dict[str, Report]]


@pytest.fixture(scope="module", params=FUSED)
def case(request: pytest.FixtureRequest) -> Case:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    made = build(request.param, device=device, dtype=torch.float32)
    return request.param, made, *fuse(made, IMAGES[request.param])


def doubled(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


class Chain(nn.Module):
    """The denoiser on what the prompt stage makes of a request."""

    def __init__(self, prompt: nn.Module, denoiser: nn.Module) -> None:
        super().__init__()
        self.prompt, self.denoiser = prompt, denoiser

    def forward(self, u: Tensor, tau: Tensor, *inputs: Tensor) -> Tensor:
        m: Tensor = self.denoiser(u, tau, *self.prompt(*inputs))
        return m


def check(eager: nn.Module, fused: Callable[..., Tensor], *args: Tensor) -> None:
    wide = copy.deepcopy(eager).double()
    assert_as_good_as(fused(*args), eager(*args), wide(*map(doubled, args)))


@torch.no_grad()
def test_the_fused_parts_compute_what_the_eager_ones_do(case: Case) -> None:
    name, made, fused, _ = case
    if name == "sdxl-turbo":
        return  # layer for layer sd-turbo's
    B = IMAGES[name]
    u = torch.randn(B, *made.latent, device=made.device)
    tau = torch.tensor([0.7, 0.2], device=made.device)[:B]
    inputs = made.random_inputs(B, seed=4).values()

    def chained(u: Tensor, tau: Tensor, *inputs: Tensor) -> Tensor:
        return fused.denoiser(u, tau, *fused.prompt(*inputs))

    check(Chain(made.prompt, made.denoiser), chained, u, tau, *inputs)
    check(made.decoder, fused.decoder, u)


def test_finds_every_pattern(case: Case) -> None:
    name, _, _, reports = case
    for part, expected in FUSED[name].items():
        fused = reports[part].fused
        assert {key: fused[key] for key in expected} == expected, f"{part}\n{reports[part]}"


def test_what_is_left_is_counted_and_says_why(case: Case) -> None:
    name, _, _, reports = case
    left = [(part, entry.op, entry.why) for part, report in reports.items() for entry in report.left]
    encoders = {"sd-turbo": 1, "sdxl-turbo": 2}.get(name, 0)
    assert left == 2 * encoders * [("prompt", "scaled_dot_product_attention.default", CAUSAL)]
    if left:
        assert f"{len(left):4d} x scaled_dot_product_attention.default left: {CAUSAL}" in str(reports["prompt"])


def test_the_weights_are_not_held_twice(case: Case) -> None:
    """Merged weights are what the family's own modules now look into; only convolutions are laid out anew."""
    _, made, fused, _ = case
    assert isinstance(fused.denoiser, nn.Module)
    own = {p.untyped_storage().data_ptr() for p in made.denoiser.parameters()}
    extra = [b for b in fused.denoiser.buffers() if b.untyped_storage().data_ptr() not in own and b.dim() == 2]
    assert sum(b.numel() for b in extra) <= 2**12  # tables of times and rotations


def test_the_backend_makes_the_eager_pictures() -> None:
    name = "sana-sprint"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    made = build(name, device=device, dtype=torch.float32)
    table = FAMILIES[name].contract.table(1)
    backend, yardstick = TorchBackend(made), TorchBackend(made, kind="eager")
    done = []
    for seeds in ((3,), (2**64 - 1,)):
        inputs = made.random_inputs(1, seed=seeds[0] % 100)
        images, timings = backend.run(seeds, inputs, table, lambda i, n: done.append((i, n)))
        expected, _ = yardstick.run(seeds, inputs, table)
        assert images.shape == (1, *made.image, 3) and timings.total > 0
        assert abs(images.astype(int) - expected.astype(int)).max() <= 1
        assert (generate(made, inputs, seeds, table).cpu().numpy() == expected).all()
    assert done == [(1, 1), (1, 1)]
    assert timings.load == 0  # the second request found its program


def test_the_backend_refuses() -> None:
    made = build("cd_imagenet64", dtype=torch.float32)
    with pytest.raises(InputError, match="kind: expected one of eager, fused, got 'compiled'"):
        TorchBackend(made, kind="compiled")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="seeds: expected at least one, got none"):
        TorchBackend(made).run([], {}, FAMILIES["cd_imagenet64"].contract.table(1))

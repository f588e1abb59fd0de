"""The families against what is published of them; beside diffusers' own pipelines they are in test_families_*.py."""

import inspect

import pytest
import torch

from fewstep.engine.backends.torch.eager import generate
from fewstep.errors import ContractError, InputError
from fewstep.export.families import sd15_distilled, sdxl_distilled
from fewstep.export.families.build import build
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.flux_schnell import pack, unpack

SDXL = (123_060_480 + 694_659_840, 2_567_463_684, 83_653_863)
# Parameters of (prompt, denoiser, decoder), counted in the published checkpoints' own configurations.
PUBLISHED = {
    "sd-turbo": (340_387_840, 865_910_724, 83_653_863),
    "sdxl-turbo": SDXL,
    **dict.fromkeys((family.name for family in sdxl_distilled.FAMILIES), SDXL),
    **dict.fromkeys((family.name for family in sd15_distilled.FAMILIES), (123_060_480, 859_520_964, 83_653_863)),
    "lcm-dreamshaper": (123_060_480, 859_602_884, 83_653_863),
    "pixart-delta": (4_762_310_656, 611_349_152, 83_653_863),
    "pixart-delta-512": (4_762_310_656, 610_856_096, 83_653_863),
    "sana-sprint": (0, 593_501_216, 312_250_275),
    "sana-sprint-1.6b": (0, 1_610_237_472, 312_250_275),
    "flux-schnell": (0, 11_891_178_560, 83_819_683),
    "sd3.5-large-turbo": (123_060_480 + 768**2 + 694_659_840 + 4_762_310_656, 8_056_627_520, 83_819_683),
    "z-image-turbo": (4_022_468_096, 6_154_908_736, 83_819_683),
    "qwen-image-lightning": (7_615_616_512 - 152_064 * 3584, 20_430_401_088, 126_892_531),
    **dict.fromkeys(("dit-xl-2-256", "dit-xl-2-512"), (0, 749_826_464, 83_653_863)),
    "cd_imagenet64": (0, 295_899_267, 0),
    "ct_imagenet64": (0, 295_899_267, 0),
    **dict.fromkeys(("cd_bedroom256", "cd_bedroom256_l2", "ct_bedroom256", "ct_cat256"), (0, 526_304_771, 0)),
    **dict.fromkeys(("progressive-cifar10", "progressive-cifar10-v"), (0, 60_003_587, 0)),
}
SEEDS = (7, 2**63 + 5)
# One of the families that share networks, whose tests are then the same.
FULL = list({id(family.full): name for name, family in FAMILIES.items()}.values())
TINY = list({id(family.tiny): name for name, family in FAMILIES.items()}.values())


@pytest.mark.parametrize("name", FULL)
def test_the_full_size_is_the_published_one(name: str) -> None:
    made = build(name, "full", "meta")
    modules = (made.prompt, made.denoiser, made.decoder)
    assert tuple(sum(p.numel() for p in module.parameters()) for module in modules) == PUBLISHED[name]


@pytest.mark.parametrize("name", FULL)
def test_the_full_size_is_what_its_configurations_measure(name: str) -> None:
    family = FAMILIES[name]
    assert family.published is not None and family.published.networks.keys() >= family.full.networks.keys()
    assert family.published.measure(family.full.networks, None) == family.full


@pytest.mark.parametrize("name", TINY)
def test_weights_hang_on_the_seed_alone_and_none_is_zero(name: str) -> None:
    first, again, other = (build(name, seed=seed).denoiser.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    assert all(parameter.any() for parameter in build(name).denoiser.parameters())


@pytest.mark.parametrize("name", TINY)
def test_an_image_is_its_seed_and_inputs_whatever_its_neighbours(name: str) -> None:
    made = build(name, dtype=torch.float32)
    inputs = made.random_inputs(2, seed=1)
    contract = FAMILIES[name].contract
    table = contract.table(2 if 2 in contract.steps else None)
    both = generate(made, inputs, SEEDS, table)
    alone = generate(made, {key: x[1:] for key, x in inputs.items()}, SEEDS[1:], table)
    assert both.shape == (2, *made.image, 3)
    assert (both[1:].int() - alone.int()).abs().max() <= 1
    assert (both[0] != both[1]).any()


@pytest.mark.parametrize("name", TINY)
def test_the_denoiser_takes_what_the_prompt_makes(name: str) -> None:
    made = build(name, dtype=torch.float32)
    taken = list(inspect.signature(made.denoiser.forward).parameters)
    assert taken[:2] == ["u", "tau"]
    assert len(made.prompt(*made.random_inputs(2, seed=1).values())) == len(taken) - 2


@pytest.mark.parametrize("name", TINY)
def test_every_input_matters(name: str) -> None:
    made = build(name, dtype=torch.float32)
    one, two = made.random_inputs(1, seed=1), made.random_inputs(1, seed=2)
    table = FAMILIES[name].contract.table(min(FAMILIES[name].contract.steps))
    image = generate(made, one, SEEDS[:1], table)
    for key in one:
        assert (generate(made, one | {key: two[key]}, SEEDS[:1], table) != image).any(), key


def test_what_was_not_distilled_for_is_refused() -> None:
    with pytest.raises(ContractError, match="expected one of 1, 2, got 3"):
        FAMILIES["cd_imagenet64"].contract.table(3)
    with pytest.raises(InputError, match=r"family: expected one of cd_bedroom256, .*flux-schnell, .*got 'sd-turbo-2'"):
        build("sd-turbo-2")
    made, table = build("cd_imagenet64"), FAMILIES["cd_imagenet64"].contract.table(1)
    with pytest.raises(InputError, match=r"inputs of cd_imagenet64: expected labels, got ids"):
        generate(made, {"ids": torch.zeros(1)}, [1], table)
    with pytest.raises(InputError, match=r"input labels: expected \(2,\) torch.int64, got \(1,\) torch.int64"):
        generate(made, {"labels": torch.zeros(1, dtype=torch.int64)}, [1, 2], table)
    with pytest.raises(InputError, match="input labels: expected 0 to 9, got 10 to 10"):
        generate(made, {"labels": torch.full((1,), 10)}, [1], table)
    with pytest.raises(InputError, match="inputs of cd_imagenet64: expected labels, null_labels, got labels"):
        generate(made, made.random_inputs(1, 0), [1], table.guided(2.0))


def test_packing_is_undone() -> None:
    x = torch.randn(2, 4, 6, 8)
    assert torch.equal(unpack(pack(x), 6, 8), x)
    assert torch.equal(pack(x)[0, 1], x[0, :, :2, 2:4].reshape(-1))  # the second patch of the first row

"""Weights for one step count alone: the contract is that count's, which a file's name or the caller says."""

from collections.abc import Sequence

import pytest

from fewstep.errors import InputError
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.step_count import counts_of, of_step_count

BY_COUNT = {
    "sdxl-lightning", "hyper-sdxl", "hyper-sd15", "pcm-sdxl", "pcm-sd15", "dmd2-sdxl", "qwen-image-lightning",
    "hyper-sdxl-cfg", "hyper-sd15-cfg", "progressive-cifar10", "progressive-cifar10-v",
}  # fmt: skip


def test_the_families_whose_authors_publish_weights_for_each_count() -> None:
    found = {name for name, family in FAMILIES.items() if family.published and family.published.by_count}
    assert found == BY_COUNT


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("models/sdxl_lightning_4step_lora.safetensors", {4}),
        ("sdxl_lightning_8step_unet.safetensors", {8}),
        ("Hyper-SDXL-8steps-lora.safetensors", {8}),
        ("Hyper-SD15-2steps-lora.safetensors", {2}),
        ("Hyper-SDXL-12steps-CFG-lora.safetensors", {12}),
        ("pcm_sdxl_smallcfg_16step_converted.safetensors", {16}),
        ("dmd2_sdxl_4step_unet_fp16.safetensors", {4}),
        ("Qwen-Image-Lightning-4steps-V1.0.safetensors", {4}),
        ("4step/lora.safetensors", set()),
        ("lora_v1.4step.safetensors", set()),
        ("lora_100000steps.safetensors", set()),
        ("4stepping_stones.safetensors", set()),
        ("lcm.safetensors", set()),
    ],
)
def test_the_count_that_a_name_says(file: str, counts: set[int]) -> None:
    assert counts_of(file) == counts


@pytest.mark.parametrize(
    ("wanted", "files", "count"),
    [
        (None, ["sdxl_lightning_4step_lora.safetensors"], 4),
        (2, ["lora.safetensors"], 2),
        (8, [], 8),
        (4, ["a_4step.safetensors", "style.safetensors"], 4),
    ],
)
def test_the_contract_is_that_counts(wanted: int | None, files: Sequence[str], count: int) -> None:
    whole = FAMILIES["sdxl-lightning"]
    family = of_step_count(whole, wanted, files)
    assert (family.name, family.full) == ("sdxl-lightning", whole.full)
    assert (family.contract.steps, family.contract.default_steps) == ({count: whole.contract.steps[count]}, count)


@pytest.mark.parametrize(
    ("name", "wanted", "files", "why"),
    [
        ("sdxl-lightning", None, ["lora.safetensors"], r"other weights for each step count \(2, 4, 8\).*\(--dist"),
        ("sdxl-lightning", 4, ["x_8step.safetensors"], r"expected one step count, got 4 \(distilled_steps\) and 8 \(x"),
        ("sdxl-lightning", None, ["x_8step.safetensors", "y_2steps.safetensors"], r"got 2 \(y_2.* and 8 \(x_8step"),
        ("sdxl-lightning", 3, [], r"expected one of 2, 4, 8, got 3"),
        ("sdxl-lightning", None, ["x_16step.safetensors"], r"expected one of 2, 4, 8, got 16"),
        ("sd-turbo", 1, [], r"expected none, as sd-turbo has one set of weights for 1, 2, 3, 4"),
    ],
)
def test_what_contradicts_is_refused(name: str, wanted: int | None, files: Sequence[str], why: str) -> None:
    with pytest.raises(InputError, match=why):
        of_step_count(FAMILIES[name], wanted, files)


def test_names_of_other_families_files_count_for_nothing() -> None:
    unified = FAMILIES["hyper-sdxl-unified"]
    assert of_step_count(unified, None, ["Hyper-SDXL-1step-lora.safetensors"]) is unified

"""The families that can be built, by name."""

from collections.abc import Mapping

from fewstep.export.families import (
    consistency_models,
    dit,
    flux_schnell,
    lcm_dreamshaper,
    pixart_delta,
    progressive,
    qwen_image_lightning,
    sana_sprint,
    sd15_distilled,
    sd35_turbo,
    sd_turbo,
    sdxl_distilled,
    sdxl_turbo,
    z_image_turbo,
)
from fewstep.export.families.family import Family

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        sd_turbo.FAMILY,
        sdxl_turbo.FAMILY,
        *sdxl_distilled.FAMILIES,
        *sd15_distilled.FAMILIES,
        lcm_dreamshaper.FAMILY,
        pixart_delta.FAMILY,
        pixart_delta.FAMILY_512,
        sana_sprint.FAMILY,
        sana_sprint.FAMILY_1_6B,
        flux_schnell.FAMILY,
        sd35_turbo.FAMILY,
        z_image_turbo.FAMILY,
        qwen_image_lightning.FAMILY,
        *dit.FAMILIES,
        *consistency_models.FAMILIES,
        *progressive.FAMILIES,
    )
}

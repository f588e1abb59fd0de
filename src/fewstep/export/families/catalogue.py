"""The families that can be built, by name."""

from collections.abc import Mapping

from fewstep.export.families import cd_imagenet64, flux_schnell, sana_sprint, sd_turbo, sdxl_turbo
from fewstep.export.families.family import Family

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        sd_turbo.FAMILY,
        sdxl_turbo.FAMILY,
        sana_sprint.FAMILY,
        sana_sprint.FAMILY_1_6B,
        flux_schnell.FAMILY,
        cd_imagenet64.FAMILY,
    )
}

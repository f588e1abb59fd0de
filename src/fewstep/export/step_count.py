"""Which step count weights were distilled for, where a family has others for each: told by name, never guessed."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fewstep.errors import InputError
from fewstep.export.families.family import Family

TOLD = re.compile(r"(?<![0-9.])([1-9][0-9]?)[-_ ]?steps?(?![a-z])")  # sdxl_lightning_4step_lora, Hyper-SD15-8steps-lora


def of_step_count(family: Family, wanted: int | None, files: Iterable[str]) -> Family:
    """The family with the contract of the count that its weights are for.

    wanted: as the caller says; files: LoRAs and denoisers, whose names may say it. Raises InputError where neither
    does, where they contradict each other, and for a family whose weights are for all of its counts.
    """
    assert family.published is not None
    counts = ", ".join(map(str, family.contract.steps))
    if not family.published.by_count:
        if wanted is not None:
            raise InputError(f"distilled_steps: expected none, as {family.name} has one set of weights for {counts}")
        return family
    told = {count: Path(name).name for name in files for count in counts_of(name)}
    if wanted is not None:
        told.setdefault(wanted, "distilled_steps")
    if len(told) > 1:
        said = " and ".join(f"{count} ({name})" for count, name in sorted(told.items()))
        raise InputError(f"distilled_steps: expected one step count, got {said}")
    if not told:
        raise InputError(
            f"{family.name} has other weights for each step count ({counts}), and no file's name says which these are: "
            "say it (--distilled-steps)"
        )
    return replace(family, contract=family.contract.of(next(iter(told))))


def counts_of(file: str) -> set[int]:
    """The counts that a file's name says."""
    return {int(count) for count in TOLD.findall(Path(file).name.lower())}

"""Which family a checkpoint is of: told by its files or by name, never guessed."""

from collections.abc import Mapping, Sequence

import numpy as np

from fewstep.engine.checks import choice
from fewstep.engine.schedule import Schedule, schedule
from fewstep.engine.table import COLUMNS
from fewstep.errors import InputError
from fewstep.export.checkpoints.published import Checkpoint
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.family import Family, Network

CLOSE = 1e-5  # diffusers has its levels in float32


def detect(checkpoint: Checkpoint, name: str | None = None) -> Family:
    """name: of the family, where the checkpoint's files do not say what its weights were distilled for.

    Without it, the one family whose networks these are, whose schedule is the checkpoint's own at every step count, and
    which is published whole. Raises InputError listing the families there could be.
    """
    where = str(checkpoint.path)
    fitting = [family for family in FAMILIES.values() if _fits(family, checkpoint)]
    if name is not None:
        family = FAMILIES[choice("family", name, tuple(FAMILIES))]
        if family not in fitting:
            raise InputError(f"{where}: expected the networks of {name}, got {_described(checkpoint)}")
        return family
    if not fitting:
        raise InputError(f"{where}: no family is known that has the networks {_described(checkpoint)}")
    matching = [family for family in fitting if _is_schedule(family, checkpoint.scheduler)]
    if not matching or len({id(family.contract) for family in matching}) > 1:
        found = "no scheduler" if checkpoint.scheduler is None else f"its {checkpoint.scheduler.get('_class_name')}"
        could = ", ".join(family.name for family in fitting)
        raise InputError(
            f"{where}: {found} does not say what its weights were distilled for; name the family (--family), one of "
            f"{could}"
        )
    return next((family for family in matching if _is_size(family.full.networks, checkpoint)), matching[0])


def _fits(family: Family, checkpoint: Checkpoint) -> bool:
    published = family.published
    if published is None or checkpoint.pipeline not in published.pipelines:
        return False
    return all(
        checkpoint.networks[role].kind in classes if role in checkpoint.networks else role in published.optional
        for role, classes in published.networks.items()
    )


def _is_schedule(family: Family, scheduler: Mapping[str, object] | None) -> bool:
    """Whether the scheduler makes the contract's table of every step count, as the family's pipeline calls it."""
    if scheduler is None or family.published is None or not family.published.is_whole:
        return False
    for steps in family.contract.steps:
        try:
            found = Schedule.from_diffusers(scheduler, steps, **family.published.options(steps))
        except InputError:
            return False
        own = family.published.sampler
        if not _is_equal(family.contract.table(steps) if own is None else schedule(own, steps), found):
            return False
    return True


def _is_equal(a: Schedule, b: Schedule) -> bool:
    scales = np.allclose((a.init, a.out_scale), (b.init, b.out_scale), rtol=CLOSE)
    return scales and all(
        np.allclose(getattr(a, name), getattr(b, name), rtol=CLOSE, atol=CLOSE, equal_nan=True) for name in COLUMNS
    )


def _is_size(networks: Mapping[str, Network], checkpoint: Checkpoint) -> bool:
    """Whether the denoiser has the published size."""
    return all(
        all(checkpoint.networks[role].setting(key) == _listed(value) for key, value in network.config.items())
        for role, network in networks.items()
        if role in ("unet", "transformer")
    )


def _listed(value: object) -> object:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _described(checkpoint: Checkpoint) -> str:
    kinds = ", ".join(f"{role} {network.kind}" for role, network in sorted(checkpoint.networks.items()))
    return f"{kinds or 'none'} of {checkpoint.pipeline}"

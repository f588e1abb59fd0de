"""Bundles that are written of what another one has."""

from collections.abc import Mapping
from pathlib import Path

from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import Component, Contract, StateSpec
from fewstep.export.bundle import new_bundle


def write_copy(
    out: Path,
    contract: Contract,
    family: str,
    state: StateSpec,
    components: Mapping[str, Component],
    files: Mapping[str, bytes],
    *,
    overwrite: bool = False,
) -> Bundle:
    with new_bundle(out, overwrite=overwrite) as folder:
        for name, data in files.items():
            folder.write(name, [data])
        return folder.finish(contract, family, state, components)

"""Which of a denoiser's modules a plan leaves open for LoRAs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from fewstep.errors import InputError
from fewstep.export.lora.read_lora import read_lora
from fewstep.export.lora.skeleton import attention, networks_of

ALL, ATTENTION = "all", "attention"


@dataclass(frozen=True)
class OpenTargets:
    """wanted: "all", "attention", or a LoRA file, of whose targets it is then."""

    wanted: str | os.PathLike[str]

    def __call__(self, modules: Mapping[str, tuple[int, ...]]) -> list[str]:
        """modules: ROLE.NAME -> the shape of its weight. Raises InputError for a file that does not fit them, and where
        there is nothing to open."""
        found = self._found(modules)
        if not found:
            raise InputError(
                f"lora_targets: the bundle names no module that {self.wanted} is of; export it anew, as bundles of "
                "fewstep 0.1 do not name the layers of attention"
            )
        return found

    def _found(self, modules: Mapping[str, tuple[int, ...]]) -> list[str]:
        if self.wanted == ALL:
            return [*modules]
        if self.wanted == ATTENTION:
            return attention(modules)
        return [".".join(place) for place in read_lora(self.wanted, networks_of(modules)).targets]

"""The alphas of a file that diffusers saved with the configuration of its PEFT adapter, as JSON in its metadata."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fewstep.engine.checks import real
from fewstep.engine.reading import strict_json
from fewstep.engine.reading.fields import json_object
from fewstep.errors import InputError

METADATA = "lora_adapter_metadata"
ALPHA, PATTERN = "lora_alpha", "alpha_pattern"
UNSUPPORTED = ("use_dora", "use_rslora")
MAX_JSON = 1 << 20


@dataclass(frozen=True)
class AdapterConfig:
    """entries: "PREFIX.SETTING" -> value, PREFIX as in the keys, such as "unet"; or "SETTING" where keys have none."""

    where: str
    entries: Mapping[str, Any]

    def alpha(self, module: str) -> float | None:
        """Of a module by the dotted name that keys give it; None where the file says none."""
        head = module.partition(".")[0]
        prefix = f"{head}." if f"{head}.{ALPHA}" in self.entries else ""
        if f"{prefix}{ALPHA}" not in self.entries:
            return None
        special = json_object(f"{self.where}: {prefix}{PATTERN}", self.entries.get(f"{prefix}{PATTERN}") or {})
        for name, alpha in special.items():
            if f".{module}".endswith(f".{name}"):
                return real(f"{self.where}: {prefix}{PATTERN}.{name}", alpha)
        return real(f"{self.where}: {prefix}{ALPHA}", self.entries[f"{prefix}{ALPHA}"])


def read_adapter_config(metadata: Mapping[str, str], file: str) -> AdapterConfig | None:
    """None for a file without. Raises InputError for kinds of adapters whose scale is another."""
    if METADATA not in metadata:
        return None
    where = f"{file}: {METADATA}"
    entries = json_object(where, strict_json.loads(metadata[METADATA].encode(), where, MAX_JSON))
    for key, value in entries.items():
        if value and key.rpartition(".")[2] in UNSUPPORTED:
            raise InputError(f"{where}: {key} is set, which fewstep does not read; fuse it by diffusers and PEFT first")
    return AdapterConfig(where, entries)

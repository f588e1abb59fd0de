"""A checkpoint as it was published: what each of its parts is, and the way to its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fewstep.engine.checks import choice
from fewstep.errors import InputError
from fewstep.export.checkpoints.loading import load
from fewstep.export.checkpoints.weights import Weights
from fewstep.export.families.family import Network


@dataclass(frozen=True)
class Checkpoint:
    """pipeline: the class in model_index.json. networks, weights: by role, such as "unet", "vae" and "text_encoder".

    scheduler: its scheduler_config.json, None where there is none. tokenizers: role -> folder. index: what else
    model_index.json says. notes: what was passed over, for a person to read.
    """

    path: Path
    pipeline: str
    networks: Mapping[str, Network]
    weights: Mapping[str, Weights]
    scheduler: Mapping[str, Any] | None
    tokenizers: Mapping[str, Path]
    index: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def load(self, role: str, dtype: torch.dtype) -> nn.Module:
        """The network with its weights, in eval mode and without gradients.

        Weights of that dtype, and large ones of 16 bits for float32, stay in the file's pages. Raises InputError naming
        the file and the weight that is wrong.
        """
        choice("network", role, self.networks)
        try:
            return load(self.networks[role], self.weights[role].read(), dtype, role)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from error

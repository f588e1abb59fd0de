"""LoRAs of a plan that is loaded: its open updates (docs/plan.md, adapters) filled from files; nothing is compiled."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewstep import _runtime
from fewstep.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from torch import Tensor

    from fewstep.export.lora.lora import Lora, Target

NAMED = 5  # of the modules that do not fit
Bytes = NDArray[np.uint8]


class PlanLoras:
    """Safe to call from several threads; a run under way ends with the LoRAs that it began with."""

    def __init__(self, program: _runtime.Program) -> None:
        """program: whose plan has adapters."""
        adapters = json.loads(program.adapters)
        self._program, self._tensors = program, program.tensors
        self._rank: int = adapters["rank"]
        self._modules: Mapping[str, list[int]] = adapters["modules"]
        self._targets: Mapping[str, Mapping[str, str]] = adapters["targets"]
        self._filled = frozenset[str]()  # targets that are not zeros
        self._lock = Lock()

    def set(self, loras: Sequence[tuple[str, float]]) -> None:
        """Files, each with its strength, in the place of those before; none of them: the model as it was compiled.

        All of them, or none and InputError: for a file that is not a LoRA of the model, that has targets the plan
        leaves closed, or ranks that together are more than the plan's. Raises MissingDependencyError without PyTorch.
        """
        made = self._made(loras) if loras else {}
        with self._lock:
            gone = {name for target in self._filled - made.keys() for name in self._targets[target].values()}
            tensors = {name: values for of in made.values() for name, values in of.items()}
            self._program.set_tensors(tensors | {name: self._zeros(name) for name in gone})
            self._filled = frozenset(made)

    def _zeros(self, name: str) -> Bytes:
        dtype, shape = self._tensors[name]
        return np.zeros(int(np.prod(shape)) * (4 if dtype == "float32" else 2), np.uint8)

    def _made(self, loras: Sequence[tuple[str, float]]) -> dict[str, dict[str, Bytes]]:
        """The tensors of each target that a file updates."""
        try:
            from fewstep.export.from_checkpoint import Wanted
            from fewstep.export.lora.read_lora import read_lora
        except ImportError as error:
            raise MissingDependencyError(
                f"LoRA files are read by {error.name}, which is missing; pip install 'fewstep[export]'"
            ) from error
        given = [(read_lora(file, self._networks), strength) for file, strength in Wanted(loras=tuple(loras)).loras]
        for lora, _ in given:
            self._refuse_closed(lora)
        updates: dict[str, list[tuple[Target, float]]] = {}
        for lora, strength in given:
            for place, target in lora.targets.items():
                updates.setdefault(".".join(place), []).append((target, strength * target.scale))
        for name, made in updates.items():
            if (rank := sum(len(target.down) for target, _ in made)) > self._rank:
                raise InputError(
                    f"{', '.join(lora.name for lora, _ in given)}: {name}: expected ranks of at most {self._rank} "
                    f"together, got {rank}; compile the plan with --lora-rank {rank}"
                )
        return {name: self._factors(name, made) for name, made in updates.items()}

    @cached_property
    def _networks(self) -> Any:
        from fewstep.export.lora.skeleton import networks_of

        return networks_of(self._modules)

    def _refuse_closed(self, lora: "Lora") -> None:
        closed = [".".join(place) for place in lora.targets if ".".join(place) not in self._targets]
        if closed:
            more = f" and {len(closed) - NAMED} more" if len(closed) > NAMED else ""
            raise InputError(
                f"{lora.name}: {len(closed)} of {len(lora.targets)} updates are of modules that the plan leaves "
                f"closed: {', '.join(closed[:NAMED])}{more}; compile it with --lora-targets {lora.name}, or all"
            )

    def _factors(self, module: str, made: Sequence[tuple["Target", float]]) -> dict[str, Bytes]:
        """Those of several LoRAs one below the other, then zeros; in `up` times what each is multiplied with."""
        import torch

        names = self._targets[module]
        outputs, inputs, *kernel = self._modules[module]
        rest = self._rank - sum(len(target.down) for target, _ in made)
        downs = [target.down.reshape(-1, inputs, *kernel).movedim(1, -1) for target, _ in made]
        ups = [target.up.reshape(outputs, -1).float() * factor for target, factor in made]
        if rest:
            downs.append(downs[0].new_zeros(rest, *kernel, inputs))
            ups.append(torch.zeros(outputs, rest))
        return {
            names["down"]: self._stored(names["down"], downs[0] if len(downs) == 1 else torch.cat(downs)),
            names["up"]: self._stored(names["up"], ups[0] if len(ups) == 1 else torch.cat(ups, 1)),
        }

    def _stored(self, name: str, values: "Tensor") -> Bytes:
        import torch

        dtype = getattr(torch, self._tensors[name][0])
        largest = torch.finfo(dtype).max
        if not float(values.abs().max()) <= largest:
            raise InputError(f"{name}: expected numbers of at most {largest:g}, got larger ones")
        array: Bytes = values.to(dtype).contiguous().view(torch.uint8).numpy().reshape(-1)
        return array

"""Finds the fastest settings of a launch by measuring, and writes them where `tuned` reads.

The clock and the check of the outputs are the caller's: on a GPU, a median between events with the caches rotated, and
the tolerance that the tests use.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triton.errors import TritonError

from fewstep.errors import InputError
from fewstep.kernels.launch import OPTIONS, Launch, run_all
from fewstep.kernels.tuned import FOLDER, Config, untuned

WORTH = 0.98  # of the time of the kernel's own choice: what is not faster than this is noise, and is not written
MOST_ROUNDS = 6
LARGEST = {"num_warps": 16, "num_stages": 6}
Launches = Callable[..., tuple[Any, list[Launch]]]


@dataclass(frozen=True)
class Found:
    """op, key: where to write config; config: None where nothing beats the kernel's own choice by enough.

    seconds: of the best; own_seconds: of the kernel's own choice; refused: what each config that was not timed said.
    """

    op: str
    key: str
    config: Config | None
    seconds: float
    own_seconds: float
    timed: int
    refused: Mapping[str, str]


def tune(
    launches: Launches,
    inputs: Mapping[str, Any],
    agrees: Callable[[Any], bool],
    seconds: Callable[[Callable[[], None]], float],
    candidates: Sequence[Config] | None = None,
) -> Found:
    """Times the kernel's own choice, then the candidates; without any, what lies around the best one found so far.

    launches: an operation's <op>_launches; agrees: whether outputs are right; seconds: of one call of a function.
    Raises InputError where the kernel's own choice is wrong, or asks for no settings.
    """
    with untuned() as asked:
        _, own = launches(**inputs)
    if not asked:
        raise InputError("expected an operation that looks its settings up, got one that never asks")
    refused: dict[str, str] = {}
    times: dict[str, float] = {}

    def time(config: Config | None) -> float:
        name = json.dumps(config, sort_keys=True)
        if name not in times and name not in refused:
            try:
                with untuned():
                    outputs, described = launches(**inputs, config=config)
                run_all(described)
                if agrees(outputs):
                    times[name] = seconds(lambda: run_all(described))
                else:
                    refused[name] = "wrong"
            except (TritonError, InputError, RuntimeError, ValueError) as error:
                refused[name] = str(error)
        return times.get(name, float("inf"))

    own_seconds = time(None)
    if own_seconds == float("inf"):
        raise InputError(f"{asked[0][0]} {asked[0][1]}: its own choice fails: {refused['null']}")
    best = _climb(_settings(own[-1]), time) if candidates is None else min(candidates, key=time, default={})
    op, key = asked[-1]
    config = best if best and time(best) < WORTH * own_seconds else None
    fastest = own_seconds if config is None else time(config)
    return Found(op, key, config, fastest, own_seconds, len(times), refused)


def _settings(launch: Launch) -> Config:
    """The part of a launch's config that is a matter of speed: its blocks, warps and stages."""
    names = [name for name in launch.config if name.startswith("BLOCK") or name in OPTIONS]
    return {name: launch.config[name] for name in names if launch.config[name] is not None}


def _climb(config: Config, time: Callable[[Config], float]) -> Config:
    for _ in range(MOST_ROUNDS):
        better = min([config, *neighbours(config)], key=time)
        if better == config:
            break
        config = better
    return config


def neighbours(config: Config) -> Iterator[Config]:
    """One setting halved or doubled, one stage more or less."""
    for name, value in config.items():
        steps = (value - 1, value + 1) if name == "num_stages" else (value // 2, value * 2)
        for step in steps if name != "num_ctas" else ():
            if 1 <= step <= LARGEST.get(name, step):
                yield config | {name: step}


def write(found: Sequence[Found], arch: int, measured: Mapping[str, str], folder: Path = FOLDER) -> Path:
    """Adds what was found to tuned/sm_<arch>.json, whole or not at all; what no longer pays is taken out.

    measured: the device, the versions and the date. Processes that have read the file before keep what they read.
    """
    path = folder / f"sm_{arch}.json"
    table: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    for one in found:
        keys = table.setdefault(one.op, {})
        keys.pop(one.key, None)
        if one.config is not None:
            keys[one.key] = one.config
        table.setdefault("_measured", {})[one.op] = dict(measured)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=f".{path.name}.", delete=False) as file:
        json.dump(table, file, indent=1, sort_keys=True)
        file.write("\n")
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)
    return path

"""A request, checked: what is to be made, image by image, before anything runs."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, TypeGuard

from fewstep import _runtime
from fewstep.engine.bundle_manifest import Contract
from fewstep.engine.checks import refuse, short, whole
from fewstep.engine.noise import MAX_SEED, random_seed
from fewstep.engine.schedule import GuidedSchedule, Schedule, schedule
from fewstep.engine.vocabulary import Vocabulary
from fewstep.errors import ContractError, InputError

Label = str | Mapping[str, str]
MAX_N = 1024
MAX_PIXEL_STEPS = 2**28  # 64 one-megapixel pictures of four steps
LABEL_STREAM = 1  # the counter's last word; the noise stream has 0


@dataclass(frozen=True)
class Request:
    """Image i is determined by seeds[i], labels[i] (table name -> value, every table) and steps."""

    steps: int
    seeds: tuple[int, ...]
    labels: tuple[dict[str, str], ...]
    unknown_words: tuple[str, ...] = ()


def check_request(
    manifest: Contract,
    prompt: str | None = None,
    label: Label | Sequence[Label] | None = None,
    n: int | None = None,
    steps: int | None = None,
    seed: int | Sequence[int] | None = None,
) -> Request:
    """Turn a caller's arguments into a Request, or raise InputError or ContractError saying what is legal.

    n defaults to the length of a list of labels or seeds, else 1. An int seed gives image i the seed (seed + i) mod
    2^64; None draws one at random. A prompt and a label may be combined if they do not contradict each other.
    """
    N = _count(label, n, seed)
    count = check_steps(manifest, steps)
    pixel_steps = manifest.image.width * manifest.image.height * N * count
    if pixel_steps > MAX_PIXEL_STEPS:
        raise InputError(
            f"n: {N} pictures of {manifest.image.width} x {manifest.image.height} in {count} steps are {pixel_steps} "
            f"pixel steps, the limit is {MAX_PIXEL_STEPS}; ask for fewer pictures at a time"
        )
    seeds = check_seeds(seed, N)
    wanted, unknown_words = _wanted(Vocabulary(manifest.labels), prompt, label, N)
    labels = tuple(_complete(manifest, given, s) for given, s in zip(wanted, seeds, strict=True))
    return Request(count, seeds, labels, unknown_words)


def check_steps(manifest: Contract, steps: object) -> int:
    """The step count to use: `steps` if the model was distilled for it, its default for None, else ContractError."""
    if steps is None:
        return manifest.schedule.default_steps
    legal = sorted(manifest.schedule.steps)
    if isinstance(steps, bool) or not isinstance(steps, Integral) or int(steps) not in legal:
        counts = ", ".join(map(str, legal))
        raise ContractError(f"steps: {manifest.name} was distilled for {counts} steps, got {short(steps)}")
    return int(steps)


def contract_schedule(manifest: Contract, steps: int) -> Schedule | GuidedSchedule:
    """The table of one of the model's step counts, with its guidance folded in unless that is 1."""
    contract = manifest.schedule
    table = schedule(contract.name, steps, **contract.steps[steps])
    return table if contract.guidance == 1 else table.guided(contract.guidance)


def check_seeds(seed: object, n: int) -> tuple[int, ...]:
    """n seeds in [0, 2^64): (seed + i) mod 2^64 of an int, those of a list of n ints, random ones for None."""
    if _is_list(seed):
        if _length(seed) != n:
            raise InputError(f"seed: expected {n} seeds, one a picture, got {_length(seed)}")
        return tuple(whole(f"seed {i}", value, 0, MAX_SEED) for i, value in enumerate(seed))
    if seed is not None and not isinstance(seed, Integral):
        raise refuse("seed", f"an integer from 0 to {MAX_SEED} or a list of them", seed)
    first = random_seed() if seed is None else whole("seed", seed, 0, MAX_SEED)
    return tuple((first + i) % (MAX_SEED + 1) for i in range(n))


def drawn_value(seed: int, table: int, count: int) -> int:
    """The value, of `count`, that an image's seed picks for label table number `table` when none was asked for.

    floor(w * count / 2^32), w the first word of Philox 4x32-10 at counter (table, 0, 0, 1), key (seed low, seed high).
    """
    word = _runtime.philox4x32_10([table, 0, 0, LABEL_STREAM], [seed & 0xFFFFFFFF, seed >> 32])[0]
    return word * count >> 32


def _count(label: object, n: object, seed: object) -> int:
    lengths = [_length(x) for x in (label, seed) if _is_list(x)]
    return whole("n", (lengths or [1])[0] if n is None else n, 1, MAX_N)


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


def _length(values: Sequence[Any]) -> int:
    try:
        return len(values)
    except OverflowError:  # of a range
        return sys.maxsize


def _wanted(
    vocabulary: Vocabulary, prompt: str | None, label: Label | Sequence[Label] | None, n: int
) -> tuple[list[dict[str, str]], tuple[str, ...]]:
    """What is asked of each image: table name -> value, of some tables; and the prompt's unknown words."""
    if (prompt is not None or label is not None) and not vocabulary.tables:
        raise refuse("prompt and label", "neither, as this model has no labels", prompt if label is None else label)
    if _is_list(label):
        if _length(label) != n:
            raise InputError(f"label: expected {n} labels, one a picture, got {_length(label)}")
        wanted = [vocabulary.resolve(one) for one in label]
    else:
        wanted = [{} if label is None else vocabulary.resolve(label)] * n
    if prompt is None:
        return wanted, ()
    parsed = vocabulary.parse(prompt)
    for given in wanted:
        for table in given.keys() & parsed.labels.keys():
            if given[table] != parsed.labels[table]:
                values = f"{parsed.labels[table]} and the label says {given[table]}"
                raise InputError(f"the prompt says {values} for {table}; choose one")
    return [parsed.labels | given for given in wanted], parsed.unknown_words


def _complete(manifest: Contract, given: Mapping[str, str], seed: int) -> dict[str, str]:
    return {
        table.name: given.get(table.name) or table.values[drawn_value(seed, i, len(table.values))]
        for i, table in enumerate(manifest.labels)
    }

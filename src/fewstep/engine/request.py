"""A request, checked: what is to be made, image by image, before anything runs."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, TypeGuard

from fewstep import _runtime
from fewstep.engine.bundle_manifest import Contract
from fewstep.engine.checks import flag, real, refuse, short, whole
from fewstep.engine.edit import Edit, Picture, check_edit, listed
from fewstep.engine.noise import MAX_SEED, random_seed
from fewstep.engine.schedule import GuidedSchedule, Schedule, schedule
from fewstep.engine.strength import first_row
from fewstep.engine.text import check_prompt
from fewstep.engine.vocabulary import Vocabulary
from fewstep.errors import ContractError, InputError

Label = str | Mapping[str, str]
Prompt = str | Sequence[str]
Steps = int | Sequence[int] | None
MAX_N = 1024
MAX_FORCED = 1000  # steps
MAX_SCALE = 1e3
MAX_PIXEL_STEPS = 2**28  # 64 one-megapixel pictures of four steps
LABEL_STREAM = 1  # the counter's last word; the noise stream has 0


@dataclass(frozen=True)
class Request:
    """Image i is determined by seeds[i], labels[i] (table name -> value, every table), prompts[i], steps[i], guidance.

    prompts: of models that read text; guidance: of those that take it as an input or run twice a step; negatives: of
    those that do both, what each picture is led away from. forced: what the contract does not allow, and was asked for
    all the same. edit: pictures to change. seeds_to, mix: of interpolated images, the seed whose first noise theirs
    goes to, and how far.
    """

    steps: tuple[int, ...]
    seeds: tuple[int, ...]
    labels: tuple[dict[str, str], ...]
    unknown_words: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    guidance: float | None = None
    forced: tuple[str, ...] = ()
    edit: Edit | None = None
    seeds_to: tuple[int, ...] = ()
    mix: tuple[float, ...] = ()
    negatives: tuple[str, ...] = ()


def check_request(
    manifest: Contract,
    prompt: Prompt | None = None,
    label: Label | Sequence[Label] | None = None,
    n: int | None = None,
    steps: Steps = None,
    seed: int | Sequence[int] | None = None,
    guidance: float | None = None,
    force: bool = False,
    image: Picture | Sequence[Picture] | None = None,
    strength: float | None = None,
    mask: Picture | None = None,
    seed_to: int | Sequence[int] | None = None,
    mix: float | Sequence[float] | None = None,
    negative_prompt: Prompt | None = None,
) -> Request:
    """Turn a caller's arguments into a Request, or raise InputError or ContractError saying what is legal.

    n defaults to the length of a list of prompts, labels, seeds, steps, images or mixes, else 1. An int seed gives
    image i the seed (seed + i) mod 2^64; None draws one at random. A prompt and a label may be combined if they do not
    contradict each other. force: steps and guidance beyond the contract are taken, and named in the Request.
    """
    N = _count(prompt, label, seed, steps, listed(image), seed_to, mix, n=n)
    contract = _Contract(manifest, flag("force", force))
    counts, scale = contract.counts(steps, N), contract.guidance(guidance)
    pixel_steps = manifest.image.width * manifest.image.height * sum(counts)
    if pixel_steps > MAX_PIXEL_STEPS:
        raise InputError(
            f"n: {N} pictures of {manifest.image.width} x {manifest.image.height} in {max(counts)} steps are "
            f"{pixel_steps} pixel steps, the limit is {MAX_PIXEL_STEPS}; ask for fewer pictures at a time"
        )
    seeds = check_seeds(seed, N)
    prompts = _prompts("prompt", prompt, N) if manifest.texts else ()
    negatives = _negatives(manifest, negative_prompt, N)
    words = None if manifest.texts else prompt
    if words is not None and not isinstance(words, str):
        raise refuse("prompt", "one text of the model's vocabulary", words)
    wanted, unknown_words = _wanted(Vocabulary(manifest.labels), words, label, N)
    labels = tuple(_complete(manifest, given, s) for given, s in zip(wanted, seeds, strict=True))
    edit = check_edit(manifest.image, N, image, strength, mask)
    if edit is not None:
        for count in {*counts}:
            table = contract_schedule(manifest, count)
            first_row(table if isinstance(table, Schedule) else table.schedule, edit.strength)
    seeds_to, mixes = _between(seed_to, mix, N)
    forced = tuple(contract.forced)
    return Request(counts, seeds, labels, unknown_words, prompts, scale, forced, edit, seeds_to, mixes, negatives)


def check_steps(manifest: Contract, steps: object) -> int:
    """The step count to use: `steps` if the model was distilled for it, its default for None, else ContractError."""
    return _Contract(manifest, force=False).steps(steps)


class _Contract:
    """What a model was distilled for; `forced` says what was asked for beside it."""

    def __init__(self, manifest: Contract, force: bool) -> None:
        self.manifest, self.force = manifest, force
        self.forced: list[str] = []

    def counts(self, steps: object, n: int) -> tuple[int, ...]:
        """Of each of n images."""
        if not _is_list(steps):
            return (self.steps(steps),) * n
        if _length(steps) != n:
            raise InputError(f"steps: expected {n} counts, one a picture, got {_length(steps)}")
        return tuple(map(self.steps, steps))

    def steps(self, steps: object) -> int:
        if steps is None:
            return self.manifest.schedule.default_steps
        legal = sorted(self.manifest.schedule.steps)
        if isinstance(steps, bool) or not isinstance(steps, Integral) or not 1 <= int(steps) <= MAX_FORCED:
            counts = ", ".join(map(str, legal))
            raise ContractError(f"steps: {self.manifest.name} was distilled for {counts} steps, got {short(steps)}")
        if int(steps) not in legal:
            counts = ", ".join(map(str, legal))
            self._break(f"steps: {self.manifest.name} was distilled for {counts} steps, got {short(steps)}")
        return int(steps)

    def guidance(self, guidance: object) -> float | None:
        spec, told = self.manifest.embedded_guidance, self.manifest.schedule
        if spec is not None:
            return self._scale(guidance, spec.default, spec.low, spec.high)
        if told.is_guided:
            return self._scale(guidance, told.guidance, *(told.guidance_range or (told.guidance, told.guidance)))
        if guidance is not None and guidance not in (0, 1):  # diffusers takes 0 for 1: no second output to be guided by
            raise ContractError(f"guidance: {self.manifest.name} was distilled for 1 or 0, got {short(guidance)}")
        return None

    def _scale(self, guidance: object, default: float, low: float, high: float) -> float:
        if guidance is None:
            return default
        scale = real("guidance", guidance, 0.0, MAX_SCALE)
        if not low <= scale <= high:
            legal = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            self._break(f"guidance: {self.manifest.name} was distilled for {legal}, got {scale:g}")
        return scale

    def _break(self, what: str) -> None:
        if not self.force:
            raise ContractError(what)
        if what not in self.forced:
            self.forced.append(what)


def contract_schedule(manifest: Contract, steps: int, guidance: float | None = None) -> Schedule | GuidedSchedule:
    """The table of a step count, of a model that runs twice a step with the guidance folded in, by default its own.

    Of one that the model was not distilled for it has the options of the nearest that it was, if they are not lists of
    times.
    """
    contract = manifest.schedule
    nearest = min(contract.steps, key=lambda count: (abs(count - steps), count))
    options = dict(contract.steps[nearest])
    if steps not in contract.steps:
        options = {key: value for key, value in options.items() if not isinstance(value, list | tuple)}
    table = schedule(contract.name, steps, **options)
    if not contract.is_guided:
        return table
    return table.guided(contract.guidance if guidance is None else guidance)


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


def _prompts(where: str, prompt: object, n: int) -> tuple[str, ...]:
    if prompt is None:
        raise InputError(f"{where}: expected what is to be in the picture, got none")
    if not _is_list(prompt):
        return (check_prompt(where, prompt),) * n
    if _length(prompt) != n:
        raise InputError(f"{where}: expected {n} prompts, one a picture, got {_length(prompt)}")
    return tuple(check_prompt(f"{where} {i}", one) for i, one in enumerate(prompt))


def _negatives(manifest: Contract, prompt: object, n: int) -> tuple[str, ...]:
    """Of each picture, empty unless one is given. Raises ContractError where nothing reads them."""
    if manifest.texts and manifest.schedule.is_guided:
        return _prompts("negative_prompt", "" if prompt is None else prompt, n)
    if prompt is not None:
        raise ContractError(
            f"negative_prompt: {manifest.name} runs its network once a step, with the prompt, and reads no other"
            if manifest.texts
            else f"negative_prompt: {manifest.name} reads no text"
        )
    return ()


def _between(seed_to: object, mix: object, n: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The other seeds and how far each of n images goes there, both empty where none does."""
    if seed_to is None:
        if mix is not None:
            raise InputError("mix: expected with seed_to alone, the seed to mix with, got no seed_to")
        return (), ()
    if mix is None:
        raise InputError("mix: expected how far to go from seed to seed_to, 0 to 1, got none")
    if _is_list(mix) and _length(mix) != n:
        raise InputError(f"mix: expected {n} numbers, one a picture, got {_length(mix)}")
    shares = [(f"mix {i}", one) for i, one in enumerate(mix)] if _is_list(mix) else [("mix", mix)] * n
    return check_seeds(seed_to, n), tuple(real(where, share, 0, 1) for where, share in shares)


def _count(*given: object, n: object) -> int:
    lengths = [_length(x) for x in given if _is_list(x)]
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

"""Reads the names, dtypes and shapes of a graph's inputs or outputs."""

from collections.abc import Sequence

from fewstep.engine.bundle_manifest import TensorSpec
from fewstep.engine.checks import choice, refuse, sequence, text, whole
from fewstep.engine.reading.contract_reader import MAX_SIDE, bounded
from fewstep.engine.reading.fields import Fields

BATCH = "B"
MAX_NAME = 128
MAX_AXES = 9


def take_tensors(where: str, value: object, dtypes: Sequence[str], most: int) -> tuple[TensorSpec, ...]:
    """1 to `most` tensors of those dtypes. Raises InputError naming the field."""
    return tuple(_tensor(f"{where}[{i}]", v, dtypes) for i, v in enumerate(sequence(where, value, 1, most)))


def _tensor(where: str, value: object, dtypes: Sequence[str]) -> TensorSpec:
    fields = Fields(where, value)
    name, dtype = fields.take("name", text, MAX_NAME), fields.take("dtype", choice, dtypes)
    batch, *rest = fields.take("shape", sequence, 1, MAX_AXES)
    if batch != BATCH:
        raise refuse(f"{where}.shape", f"{BATCH!r} as the first axis", batch)
    shape = tuple(whole(f"{where}.shape", n, 1, MAX_SIDE) for n in rest)
    fields.done()
    return TensorSpec(name, dtype, (BATCH, *bounded(f"{where}.shape", shape)))

"""Reads a model's contract: what it promises, and what was settled when it was distilled."""

import re
from dataclasses import replace
from math import prod
from types import MappingProxyType
from typing import Any

from fewstep.engine.bundle_manifest import (
    Contract,
    GuidanceSpec,
    ImageSpec,
    LabelTable,
    LatentSpec,
    License,
    ScheduleContract,
    TextSpec,
)
from fewstep.engine.checks import distinct, file_name, flag, identifier, real, refuse, sequence, text, whole
from fewstep.engine.reading.fields import Fields, json_object
from fewstep.engine.schedule import schedule
from fewstep.errors import InputError

MAX_STEPS = 1000
MAX_COUNTS = 64
MAX_SIDE = 1 << 16
MAX_ELEMENTS = 1 << 31
MAX_TABLES = 64
MAX_LABEL_VALUES = 1 << 16


MAX_TEXTS = 4
MAX_TOKENS = 1 << 16
MAX_TEMPLATE = 1 << 14
MAX_GUIDANCE = 1e3


def take_contract(fields: Fields) -> Contract:
    """Takes the contract's fields and leaves the others for the caller. Raises InputError naming the field."""
    contract = Contract(
        name=fields.take("name", identifier),
        description=fields.take("description", text),
        license=fields.take("license", _license),
        latent=fields.take("latent", _latent),
        image=fields.take("image", _image),
        labels=fields.take("labels", _labels),
        schedule=fields.take("schedule", _schedule),
    )
    if "texts" not in fields.keys():  # noqa: SIM118  Fields is no mapping
        return contract
    texts, guidance = fields.take("texts", _texts), fields.take("embedded_guidance", _guidance)
    return replace(contract, texts=texts, embedded_guidance=guidance)


def bounded(where: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if prod(shape) > MAX_ELEMENTS:
        raise refuse(where, f"at most {MAX_ELEMENTS} elements", prod(shape))
    return shape


def _license(where: str, value: object) -> License:
    fields = Fields(where, value)
    out = License(fields.take("spdx", text, 128), fields.take("file", file_name))
    fields.done()
    return out


def _latent(where: str, value: object) -> LatentSpec:
    fields = Fields(where, value)
    out = LatentSpec(fields.take("scaling_factor", real, 1e-6, 1e6), fields.take("shift_factor", real, -1e6, 1e6))
    fields.done()
    return out


def _image(where: str, value: object) -> ImageSpec:
    fields = Fields(where, value)
    low, high = (real(f"{where}.range", v, -1e6, 1e6) for v in fields.take("range", sequence, 2, 2))
    if low >= high:
        raise refuse(f"{where}.range", "two numbers that rise", [low, high])
    width, height = (fields.take(side, whole, 1, MAX_SIDE) for side in ("width", "height"))
    out = ImageSpec(width, height, fields.take("channels", whole, 1, 4), (low, high))
    fields.done()
    bounded(where, (out.channels, out.height, out.width))
    return out


def _labels(where: str, value: object) -> tuple[LabelTable, ...]:
    values = sequence(where, value, 0, MAX_TABLES)
    tables = tuple(_label_table(f"{where}[{i}]", table) for i, table in enumerate(values))
    distinct(where, [table.name for table in tables])
    return tables


def _label_table(where: str, value: object) -> LabelTable:
    fields = Fields(where, value)
    name = fields.take("name", identifier)
    values = tuple(text(f"{where}.values", v, 128) for v in fields.take("values", sequence, 1, MAX_LABEL_VALUES))
    distinct(f"{where}.values", values)
    out = LabelTable(name, values, fields.take("null", whole, 0, len(values)))
    fields.done()
    return out


def _texts(where: str, value: object) -> tuple[TextSpec, ...]:
    texts = tuple(_text(f"{where}[{i}]", item) for i, item in enumerate(sequence(where, value, 0, MAX_TEXTS)))
    distinct(where, [name for item in texts for name in (item.ids, item.mask) if name is not None])
    return texts


def _text(where: str, value: object) -> TextSpec:
    fields = Fields(where, value)
    out = TextSpec(
        tokenizer=fields.take("tokenizer", file_name),
        ids=fields.take("ids", identifier),
        mask=fields.take("mask", _optional_name),
        length=fields.take("length", whole, 1, MAX_TOKENS),
        pad=fields.take("pad", whole, 0, MAX_ELEMENTS),
        template=fields.take("template", _template),
        lower=fields.take("lower", flag),
    )
    fields.done()
    return out


def _optional_name(where: str, value: object) -> str | None:
    return None if value is None else identifier(where, value)


def _template(where: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEMPLATE or value.count("{}") != 1:
        raise refuse(where, f"a text of at most {MAX_TEMPLATE} characters with {{}} once", value)
    return value


def _guidance(where: str, value: object) -> GuidanceSpec | None:
    if value is None:
        return None
    fields = Fields(where, value)
    low, high = fields.take("low", real, 0.0, MAX_GUIDANCE), fields.take("high", real, 0.0, MAX_GUIDANCE)
    out = GuidanceSpec(fields.take("input", identifier), fields.take("default", real, low, high), low, high)
    fields.done()
    return out


def _schedule(where: str, value: object) -> ScheduleContract:
    fields = Fields(where, value)
    name, guidance = fields.take("name", text, 64), fields.take("guidance", real, 0.0, 1e3)
    counts = fields.take("steps", json_object)
    if not 1 <= len(counts) <= MAX_COUNTS:
        raise refuse(f"{where}.steps", f"1 to {MAX_COUNTS} step counts", len(counts))
    steps = {_count(f"{where}.steps", key): options for key, options in counts.items()}
    for count, options in steps.items():
        _check_options(f"{where}.steps.{count}", name, count, json_object(f"{where}.steps.{count}", options))
    default = fields.take("default_steps", whole, 1, MAX_STEPS)
    if default not in steps:
        raise refuse(f"{where}.default_steps", f"one of {', '.join(map(str, steps))}", default)
    given = "guidance_range" in fields.keys()  # noqa: SIM118  Fields is no mapping
    scales = fields.take("guidance_range", _scales, guidance) if given else None
    fields.done()
    frozen = {count: MappingProxyType(options) for count, options in sorted(steps.items())}
    return ScheduleContract(name, default, guidance, MappingProxyType(frozen), scales)


def _scales(where: str, value: object, guidance: float) -> tuple[float, float]:
    low, high = (real(where, scale, 0.0, MAX_GUIDANCE) for scale in sequence(where, value, 2, 2))
    if guidance == 1 or not low <= guidance <= high:
        raise refuse(where, f"the least and largest scale around a guidance that is not 1, here {guidance:g}", value)
    return low, high


def _count(where: str, key: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", key) or int(key) > MAX_STEPS:
        raise refuse(where, f"step counts from 1 to {MAX_STEPS}", key)
    return int(key)


def _check_options(where: str, name: str, count: int, options: dict[str, Any]) -> None:
    if clash := {"name", "steps"} & options.keys():
        raise refuse(where, "options of the schedule", ", ".join(sorted(clash)))
    try:
        schedule(name, count, **options)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"{where}: {error}") from error

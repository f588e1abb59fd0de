"""What tests/folder_parity.py and tests/half_parity.py measured, as the tables of docs/families.md."""

import json
from pathlib import Path
from typing import Any

from fewstep.export.checkpoints.original import LAYOUTS
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.family import Family

RESULTS = Path(__file__).parent / "data" / "folder_parity.json"
PAGE = Path(__file__).parents[1] / "docs" / "families.md"
BEGIN, END = "<!-- made by tests/folder_parity.py --write -->\n", "<!-- to here -->\n"
HEAD = (
    "| family | components | schedule, told by the files | steps | torch | onnxruntime | native | grey levels "
    "| read from | verified on a GPU |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
)


HALF_RESULTS = RESULTS.with_name("half_parity.json")
HALF_BEGIN = "<!-- made by tests/half_parity.py --write -->\n"
HALF_HEAD = (
    "| family | steps | float16 | diffusers in float16 | bfloat16 | diffusers in bfloat16 |\n"
    "| --- | --- | --- | --- | --- | --- |\n"
)


def table() -> str:
    """Of the committed rows, in the catalogue's order."""
    measured = {row["family"]: row for row in json.loads(RESULTS.read_text())}
    return HEAD + "".join(_row(family, measured.get(family.name)) for family in FAMILIES.values())


def half_table() -> str:
    rows = json.loads(HALF_RESULTS.read_text())
    cells = [[row[dtype][who] for dtype in ("fp16", "bf16") for who in ("ours", "diffusers")] for row in rows]
    told = [["NaN or Inf" if error is None else f"{error:.1e}" for error in errors] for errors in cells]
    lines = [[row["family"], str(row["steps"]), *errors] for row, errors in zip(rows, told, strict=True)]
    return HALF_HEAD + "".join(f"| {' | '.join(line)} |\n" for line in lines)


TABLES = {BEGIN: table, HALF_BEGIN: half_table}


def section(begin: str) -> str:
    """Of the page: what is between the markers."""
    page = PAGE.read_text()
    start = page.index(begin) + len(begin)
    return page[start : page.index(END, start)]


def write_table() -> None:
    for begin, make in TABLES.items():
        page = PAGE.read_text()
        start = page.index(begin) + len(begin)
        PAGE.write_text(page[:start] + make() + page[page.index(END, start) :])


def _row(family: Family, row: dict[str, Any] | None) -> str:
    assert family.published is not None
    published = family.published
    kinds = dict.fromkeys(classes[0] for classes in published.networks.values())
    files = ", single file" if {*published.pipelines} & LAYOUTS.keys() else ""
    ends = (f"folder{files}, hub", "no")
    if row is None:
        cells = (family.name, ", ".join(kinds), family.contract.name, *["not measured"] * 5, *ends)
        return f"| {' | '.join(cells)} |\n"
    backends = [row[name] for name in ("torch", "onnxruntime", "native")]
    cells = (
        family.name,
        ", ".join(kinds),
        f"{family.contract.name}, {'yes' if row['told_by_files'] else 'no'}",
        ", ".join(map(str, row["steps"])),
        *(one if isinstance(one, str) else ", ".join(f"{error:.1e}" for error in one["latents"]) for one in backends),
        ", ".join("-" if isinstance(one, str) else str(max(one["levels"])) for one in backends),
        *ends,
    )
    return f"| {' | '.join(cells)} |\n"

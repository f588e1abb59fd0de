"""docs/families.md: its example runs, and its table is the families there are."""

import re
from pathlib import Path

from fewstep.export.families.catalogue import FAMILIES

PAGE = (Path(__file__).parents[2] / "docs" / "families.md").read_text()
ROWS = re.findall(r"^\| (`.*?`) \| (.*) \|$", PAGE, re.MULTILINE)


def test_the_example_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/families.md", "exec"), {})


def test_the_table_is_the_families() -> None:
    described = {name: row for names, row in ROWS for name in re.findall(r"`(.*?)`", names)}
    assert list(described) == list(FAMILIES)
    for name, row in described.items():
        full, contract = FAMILIES[name].full, FAMILIES[name].contract
        assert " x ".join(map(str, full.latent)) in row
        assert all(f"`{spec.name}`" in row for spec in full.inputs)
        assert f"`{contract.name}`" in row and f"({contract.default_steps})" in row
        assert {"1 to 4": [1, 2, 3, 4], "1 and 2": [1, 2]}[re.search(r"1 to 4|1 and 2", row)[0]] == list(contract.steps)  # type: ignore[index]

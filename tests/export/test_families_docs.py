"""docs/families.md: its example runs, and its table is the families there are."""

import re
from pathlib import Path

import pytest
import torch
from lora_files import draw_factors, kohya, saved
from published_folders import write_sd

from fewstep.export.checkpoints.folder import read_folder
from fewstep.export.families.catalogue import FAMILIES

PAGE = (Path(__file__).parents[2] / "docs" / "families.md").read_text()
ROWS = re.findall(r"^\| (`.*?`) \| (.*) \|$", PAGE, re.MULTILINE)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sd(tmp_path / "sd-turbo")
    unet = read_folder(tmp_path / "sd-turbo").load("unet", torch.float32)
    saved(tmp_path / "lora.safetensors", kohya(draw_factors(unet)))
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 3
    for code in examples:
        exec(compile(code, "docs/families.md", "exec"), {})


def test_the_table_is_the_families() -> None:
    described = {name: row for names, row in ROWS for name in re.findall(r"`(.*?)`", names)}
    assert list(described) == list(FAMILIES)
    for name, row in described.items():
        full, contract = FAMILIES[name].full, FAMILIES[name].contract
        assert " x ".join(map(str, full.latent)) in row
        assert all(f"`{spec.name}`" in row for spec in full.inputs)
        assert f"`{contract.name}`" in row
        assert step_counts(row) == (list(contract.steps), contract.default_steps)


def step_counts(row: str) -> tuple[list[int], int]:
    """As a row says them: "1 to 4 (1)" or "2, 4 and 8 (4)"."""
    ((counts, default),) = re.findall(r"((?:\d+(?: to |, | and ))*\d+) \((\d+)\)", row)
    numbers = [int(number) for number in re.findall(r"\d+", counts)]
    return list(range(numbers[0], numbers[1] + 1)) if " to " in counts else numbers, int(default)

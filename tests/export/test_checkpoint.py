import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import CONFIG, CONTRACT, tiny_network, write_checkpoint
from torch import Tensor

from fewstep.errors import InputError
from fewstep.export.checkpoint import read_checkpoint

NAME = "middle.film.weight"  # (48, 32)
State = dict[str, Tensor]


def test_a_checkpoint_is_read_exactly(checkpoint: Path) -> None:
    found = read_checkpoint(checkpoint)
    assert found.network.config == CONFIG and not found.network.training
    for name, values in tiny_network().state_dict().items():
        torch.testing.assert_close(found.network.state_dict()[name], values, rtol=0, atol=0)
    assert found.contract.name == "tiny" and found.files.keys() == {"LICENSE", "README.md"}


def test_a_file_stands_for_its_folder(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint / "student.safetensors")
    assert read_checkpoint(checkpoint / "student.safetensors").contract.name == "tiny"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_weights_become_float32(checkpoint: Path, dtype: torch.dtype) -> None:
    change(checkpoint, lambda state: {name: values.to(dtype) for name, values in state.items()})
    assert {p.dtype for p in read_checkpoint(checkpoint).network.parameters()} == {torch.float32}


def change(checkpoint: Path, edit: Callable[[State], State]) -> None:
    path = checkpoint / "model.safetensors"
    save_file({name: values.contiguous() for name, values in edit(load_file(path)).items()}, path)


def spoiled(state: State, value: float) -> Tensor:
    values = state[NAME].clone()
    values[0, 0] = value
    return values


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda s: {k: v for k, v in s.items() if k != NAME}, f"1 missing weights: {NAME}"),
        (lambda s: {**s, "extra": s[NAME] + 1}, "1 unknown weights: extra"),
        (lambda s: {f"net.{k}": v for k, v in s.items()}, r"87 missing weights: attention\.norm\.bias, .*"),
        (lambda s: {**s, NAME: s[NAME].T}, rf"{NAME}: expected shape \(48, 32\), got \(32, 48\); it is transposed"),
        (lambda s: {**s, NAME: s[NAME][:, :4]}, rf"{NAME}: expected shape \(48, 32\), got \(48, 4\)$"),
        (lambda s: {**s, NAME: s[NAME].double()}, f"{NAME}: expected dtype F16 or BF16 or F32, got 'F64'"),
        (lambda s: {**s, NAME: s[NAME].to(torch.int8)}, f"{NAME}: expected dtype .*, got 'I8'"),
        (lambda s: {**s, NAME: spoiled(s, float("nan"))}, f"{NAME}: expected finite values, got '1 NaN or infinite"),
        (lambda s: {**s, NAME: spoiled(s, float("inf"))}, f"{NAME}: expected finite values"),
    ],
    ids=["missing", "extra", "renamed", "transposed", "cut", "float64", "int8", "NaN", "infinity"],
)
def test_a_wrong_weight_is_named(checkpoint: Path, edit: Callable[[State], State], match: str) -> None:
    change(checkpoint, edit)
    with pytest.raises(InputError, match=rf"{checkpoint}: model\.safetensors: {match}"):
        read_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("_class_name", "UNet2DModel", "_class_name: expected TrigFlowUNet, got 'UNet2DModel'"),
        ("image_size", 18, "image_size: expected a multiple of 4 [*] patch = 8, got 18"),
        ("channels", [8, 16, 20], "channels: expected multiples of 8"),
        ("channels", [8, 16], "channels: expected 3 values"),
        ("heads", 5, "channels: expected multiples of 8, the last one of heads = 5 too"),
        ("patch", True, "patch: expected an integer from 1 to 64, got True"),
        ("sigma_data", 0, "sigma_data: expected a number from 0.001"),
        ("sigma_data", 0.25, r"schedule\.steps\.1\.sigma_data: expected 0.25, as in config\.json, got 0.5"),
        ("labels", [3, 2, 5], r"contract\.json: labels: expected \(values, null\) of"),
        ("embedding", 40, r"expected shape \(40,"),
        ("more", 1, "expected only the keys"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_named(checkpoint: Path, key: str, value: Any, match: str) -> None:
    edit_json(checkpoint / "config.json", **{key: value})
    with pytest.raises(InputError, match=match):
        read_checkpoint(checkpoint)


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"image": {**CONTRACT["image"], "width": 32}}, "image: expected 3 channels of 16 x 16"),
        ({"labels": CONTRACT["labels"][:2]}, "labels: expected"),
        ({"schedule": {**CONTRACT["schedule"], "name": "cm", "steps": {"2": {}}}}, "schedule.name: expected trigflow"),
        ({"include": ["../README.md"]}, "include: expected a plain file name"),
        ({"include": ["LICENSE"]}, "include: expected names that differ"),
        ({"include": ["absent"]}, "absent: cannot be opened: no such file"),
        ({"more": 1}, "expected only the keys"),
    ],
    ids=str,
)
def test_a_wrong_contract_is_named(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        read_checkpoint(write_checkpoint(tmp_path, **changes))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "contract.json", "LICENSE", "README.md"])
def test_a_missing_file_is_named(checkpoint: Path, name: str) -> None:
    (checkpoint / name).unlink()
    with pytest.raises(InputError, match=f"{name}: cannot be opened: no such file or directory"):
        read_checkpoint(checkpoint)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("pickle was read",)


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin", "model.ckpt", "model.pkl"])
@pytest.mark.parametrize("as_file", [True, False], ids=["file", "folder"])
def test_pickles_are_refused_unread(
    tmp_path: Path, name: str, as_file: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match=r"is a pickle, .* safetensors\.torch\.save_file as model\.safetensors"):
        read_checkpoint(tmp_path / name if as_file else tmp_path)
    assert capsys.readouterr().out == ""


def test_a_pickle_beside_the_weights_does_no_harm(checkpoint: Path) -> None:
    (checkpoint / "optimizer.pt").write_bytes(pickle.dumps(Bomb()))
    assert read_checkpoint(checkpoint).contract.name == "tiny"


def test_a_path_that_is_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent: not a folder that can be opened: no such file or directory"):
        read_checkpoint(tmp_path / "absent")

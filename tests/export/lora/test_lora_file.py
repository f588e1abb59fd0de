import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lora_files import RANK, State, draw_factors, kohya, saved, tiny_unet, written

from fewstep.errors import InputError
from fewstep.export.lora.lora_file import MAX_HEADER, MAX_TENSORS, read_lora_file

LAYERS = ["conv_in", "mid_block.attentions.0.proj_in"]
STEM = "lora_unet_conv_in"
DOWN, UP, SCALE = f"{STEM}.lora_down.weight", f"{STEM}.lora_up.weight", f"{STEM}.alpha"


@pytest.fixture(scope="module")
def state() -> State:
    """Of a 3x3 convolution, (4, 4, 3, 3) and (8, 4, 1, 1), and of a linear layer."""
    return kohya(draw_factors(tiny_unet("sd_turbo.unet"), LAYERS))


def spoiled(values: torch.Tensor, value: float) -> torch.Tensor:
    out = values.clone()
    out.view(-1)[-1] = value
    return out


def test_updates_come_with_their_factors(state: State, tmp_path: Path) -> None:
    first, second = read_lora_file(saved(tmp_path / "a.safetensors", state)).updates
    assert (first.key, first.module, first.roles) == (STEM, "conv_in", ("unet", "transformer"))
    assert second.module == "mid_block_attentions_0_proj_in" and first.alpha == 2.0
    assert torch.equal(first.down, state[DOWN]) and torch.equal(first.up, state[UP])


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda s: {**s, DOWN: s[DOWN].double()}, f"{DOWN}: dtype: expected F16, BF16, F32, got 'F64'"),
        (lambda s: {**s, SCALE: torch.tensor(4)}, f"{SCALE}: dtype: expected F16, BF16, F32, got 'I64'"),
        (lambda s: {**s, DOWN: spoiled(s[DOWN], float("nan"))}, f"{DOWN}: expected finite values, got '1 NaN or"),
        (lambda s: {**s, UP: spoiled(s[UP], float("-inf"))}, f"{UP}: expected finite values, got '1 NaN or"),
        (lambda s: {**s, SCALE: torch.tensor(float("nan"))}, f"{SCALE}: expected a finite number, got nan"),
        (lambda s: {**s, SCALE: torch.tensor(float("inf"))}, f"{SCALE}: expected a finite number, got inf"),
        (lambda s: {**s, SCALE: torch.ones(2)}, rf"{SCALE}: shape: expected a scalar, got \(2,\)"),
        (lambda s: {**s, DOWN: s[DOWN][:0], UP: s[UP][:, :0]}, f"{DOWN}: shape: expected a rank and sizes of 1"),
        (lambda s: {**s, DOWN: s[DOWN][:3]}, r"expected \(r, ...\) and \(..., r\), got \(3, 4, 3, 3\) and \(8, 4,"),
        (lambda s: {**s, DOWN: s[DOWN][0]}, rf"{DOWN}: shape: expected 2 axes, or 4"),
        (lambda s: {**s, UP: s[UP].expand(8, 4, 2, 1)}, rf"{UP}: expected shape \(..., r\) or"),
        (lambda s: {k: v for k, v in s.items() if k != UP}, f"{STEM} has no up, but {DOWN}"),
        (lambda s: {k: v for k, v in s.items() if k not in (UP, DOWN)}, "has no down and no up, but an alpha alone"),
        (lambda s: {**s, f"{STEM}.lora_A.weight": s[DOWN]}, f"{STEM} has two of down: "),
        (lambda s: {**s, f"{STEM}.weight": s[DOWN], "x": s[UP]}, f"2 keys are of no style .*: {STEM}.weight, x; "),
        (lambda s: {f"{STEM}.hada_w1_a": s[DOWN]}, "is of a LoHa, which fewstep does not read; it reads a LoRA of"),
        (lambda s: {f"{STEM}.lokr_w1": s[DOWN]}, "is of a LoKr, which"),
        (lambda s: {**s, f"{STEM}.dora_scale": s[UP]}, "is of a DoRA, which"),
        (lambda s: {**s, "unet.conv_in.lora_magnitude_vector": s[UP]}, "is of a DoRA, which"),
        (lambda s: {**s, f"{STEM}.lora_mid.weight": s[UP]}, "is of a LoCon of three factors, which"),
        (lambda s: {**s, "unet.conv_in.lora_B.bias": s[UP]}, "is of a LoRA with biases, which"),
        (lambda s: {**s, "diffusion_model.img_in.diff_b": s[UP]}, "is of full differences of biases, which"),
        (lambda s: {"base_model.model.conv_in.lora_A.weight": s[DOWN]}, r"alpha is in adapter_config\.json"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(state: State, edit: Callable[[State], State], match: str, tmp_path: Path) -> None:
    path = written(tmp_path / "bad.safetensors", edit(state))
    with pytest.raises(InputError, match=rf"^bad\.safetensors: .*{match}"):
        read_lora_file(path)


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        ({"unet.lora_alpha": "8"}, "unet.lora_alpha: expected a finite number, got '8'"),
        ({"unet.lora_alpha": 8, "unet.alpha_pattern": [1]}, "unet.alpha_pattern: expected an object"),
        ({"unet.lora_alpha": 8, "unet.use_dora": True}, "unet.use_dora is set"),
        ({"use_rslora": True}, "use_rslora is set"),
    ],
)
def test_a_wrong_adapter_is_named(metadata: dict[str, Any], match: str, tmp_path: Path) -> None:
    factors = {"unet.a.lora_A.weight": torch.ones(2, 3), "unet.a.lora_B.weight": torch.ones(3, 2)}
    with pytest.raises(InputError, match=rf"^bad\.safetensors: lora_adapter_metadata: {match}"):
        read_lora_file(saved(tmp_path / "bad.safetensors", factors, metadata))


def test_two_alphas_are_one_too_many(tmp_path: Path) -> None:
    factors = {
        "unet.a.lora_A.weight": torch.ones(2, 3),
        "unet.a.lora_B.weight": torch.ones(3, 2),
        "unet.a.alpha": torch.ones(()),
    }
    with pytest.raises(InputError, match=r"unet\.a\.alpha and the file's metadata both give an alpha"):
        read_lora_file(saved(tmp_path / "bad.safetensors", factors, {"unet.lora_alpha": 8}))


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("pickle was read",)


@pytest.mark.parametrize("name", ["lora.pt", "lora.bin", "lora.ckpt", "lora.safetensors"])
def test_pickles_are_refused_unread(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(Bomb(), tmp_path / name)
    with pytest.raises(InputError, match=r"is a pickle, .* safetensors\.torch\.save_file as lora\.safetensors"):
        read_lora_file(tmp_path / name)
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match=r"is a pickle|expected a safetensors header"):
        read_lora_file(tmp_path / name)
    assert capsys.readouterr().out == ""


def test_a_million_keys_are_refused_at_once(tmp_path: Path) -> None:
    entry = '"%07d":{"dtype":"F16","shape":[0],"data_offsets":[0,0]}'
    text = ("{" + ",".join(entry % i for i in range(10**6)) + "}").encode()
    path = tmp_path / "many.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    start = time.process_time()
    with pytest.raises(InputError, match=f"expected a safetensors header of at most {MAX_HEADER} bytes"):
        read_lora_file(path)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("count", [MAX_TENSORS + 1, 10 * MAX_TENSORS, MAX_HEADER // 10])
def test_more_keys_than_any_lora_has_are_refused_before_they_are_read(count: int, tmp_path: Path) -> None:
    text = ("{" + ",".join(f'"{i:x}":0' for i in range(count)) + "}").encode()
    path = tmp_path / "many.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    start = time.process_time()
    with pytest.raises(InputError, match=f"expected at most {MAX_TENSORS} tensors, got .*{count}"):
        read_lora_file(path)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("content", [b"", b"{}", b"\x02\0\0\0\0\0\0\0{}"], ids=["empty", "cut", "no tensor"])
def test_a_file_without_updates_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.safetensors: "):
        read_lora_file(tmp_path / "a.safetensors")


def test_a_pipe_a_folder_and_nothing_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    for name in ("pipe.safetensors", ".", "absent.safetensors"):
        with pytest.raises(InputError, match=r"expected a regular file|cannot be opened: no such file"):
            read_lora_file(tmp_path / name)


def test_a_pointer_of_git_lfs_is_not_the_file(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(InputError, match=r"lora\.safetensors: it is a pointer of Git LFS"):
        read_lora_file(path)


def test_a_link_is_followed(state: State, tmp_path: Path) -> None:
    """Model hubs keep their files behind links."""
    saved(tmp_path / "blob", state)
    (tmp_path / "lora.safetensors").symlink_to("blob")
    assert len(read_lora_file(tmp_path / "lora.safetensors").updates) == 2


@pytest.mark.parametrize("pad", range(4))
def test_factors_may_begin_anywhere(pad: int, state: State, tmp_path: Path) -> None:
    first, _ = read_lora_file(written(tmp_path / "a.safetensors", state, pad=pad)).updates
    assert torch.equal(first.down, state[DOWN]) and torch.equal(first.up, state[UP])
    assert all(values.data_ptr() % values.itemsize == 0 for values in (first.down, first.up))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_order_of_keys_does_not_matter(data: st.DataObject, state: State, tmp_path: Path) -> None:
    order = data.draw(st.permutations(sorted(state)))
    found = read_lora_file(written(tmp_path / "a.safetensors", state, order)).updates
    assert [update.key for update in found] == [STEM, "lora_unet_mid_block_attentions_0_proj_in"]
    for update in found:
        assert torch.equal(update.down, state[f"{update.key}.lora_down.weight"]) and len(update.down) == RANK
        assert torch.equal(update.up, state[f"{update.key}.lora_up.weight"]) and update.alpha == 2.0

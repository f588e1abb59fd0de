"""Folders of diffusers that are wrong: each is refused by name when it is opened."""

import os
from pathlib import Path

import pytest
import torch
from damaged_folder import (
    CONFIG,
    INDEX,
    SHARDS,
    UNET,
    Break,
    both,
    changed,
    cut,
    damaged,
    first_shard,
    header,
    moved,
    replaced,
    shard_elsewhere,
    written,
)
from safetensors.torch import save_file

from fewstep.errors import InputError
from fewstep.export.checkpoints.folder import read_folder

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

OPENING: dict[str, tuple[str, Break, str]] = {
    "no index": ("whole", moved(Path(INDEX), "other.json"), r"model_index.json is missing; expected a folder that"),
    "index of another shape": ("whole", written(INDEX, b"[]"), r"model_index.json: expected an object, got \[\]"),
    "index not JSON": ("whole", written(INDEX, b"{"), "model_index.json: not legal JSON"),
    "key twice": ("whole", written(INDEX, b'{"a": 1, "a": 2}'), "model_index.json: .*'a' appears twice"),
    "large index": ("whole", written(INDEX, b" " * (1 << 22) + b"{}"), "model_index.json: expected at most 4194304"),
    "no pipeline": ("whole", changed(INDEX, _class_name=None), "_class_name: expected a printable string"),
    "pipeline of code": (
        "whole",
        changed(INDEX, _class_name=["mine", "P"]),
        "_class_name names code of the checkpoint",
    ),
    "unknown class": (
        "whole",
        changed(INDEX, unet=["diffusers", "Mine"]),
        "unet/config.json: class: expected .*'Mine'",
    ),
    "function, no class": ("whole", changed(INDEX, unet=["diffusers", "logging"]), "class: expected .* got 'logging'"),
    "module of the folder": ("whole", changed(INDEX, unet=["mine", "UNet"]), "got mine.UNet; fewstep runs no code"),
    "module of Python": (
        "whole",
        changed(INDEX, unet=["os", "system"]),
        "expected a class of diffusers or transformers",
    ),
    "code of an unread part": ("whole", changed(INDEX, safety_checker=["mine", "S"]), "safety_checker: .* got mine.S"),
    "half a class": ("whole", changed(INDEX, unet=["diffusers", None]), "unet: expected a class of diffusers"),
    "role outside": ("whole", changed(INDEX, **{"../x": ["diffusers", "AutoencoderKL"]}), "expected a plain file name"),
    "code in the index": ("whole", changed(INDEX, auto_map={"a": "b"}), "model_index.json: auto_map names code"),
    "auto_map": ("whole", changed(CONFIG, auto_map={"AutoModel": "m.M"}), "unet/config.json: auto_map names code of"),
    "trusting": ("whole", changed(CONFIG, trust_remote_code=True), "unet/config.json: trust_remote_code names code"),
    "nested code": ("whole", changed(CONFIG, a={"auto_map": {"b": "c"}}), "unet/config.json: auto_map names code"),
    "quantised": (
        "whole",
        changed(CONFIG, quantization_config={"bits": 4}),
        "quantization_config: expected weights of",
    ),
    "another class": (
        "whole",
        changed(CONFIG, _class_name="UNet2DModel"),
        "_class_name: expected UNet2DConditionModel,",
    ),
    "another model": (
        "whole",
        changed("text_encoder/config.json", model_type="t5"),
        "model_type: expected clip_text_mo",
    ),
    "unknown norm": (
        "whole",
        both(
            changed(INDEX, unet=["diffusers", "Transformer2DModel"]),
            changed(CONFIG, _class_name="Transformer2DModel", norm_type="layer_norm"),
        ),
        "norm_type: expected one of ada_norm_single, ada_norm_zero, got 'layer_norm'",
    ),
    "no config": ("whole", moved(CONFIG, "c.json"), r"unet/config.json: cannot be opened: no such file"),
    "no folder": ("whole", lambda path: (path / "vae").rename(path / "v"), "vae: cannot be opened: no such file"),
    "no weights": ("whole", moved(UNET, "x.safetensors"), "unet: expected diffusion_pytorch_model.safetensors or dif"),
    "another variant": (
        "whole",
        moved(UNET, "diffusion_pytorch_model.fp16.safetensors"),
        "got neither; there is variant='fp16'",
    ),
    "pickle": ("whole", moved(UNET, "diffusion_pytorch_model.bin"), r"unet/diff.*\.bin is a pickle, which can run any"),
    "both layouts": (
        "shards",
        lambda path: first_shard(path).rename(path / UNET),
        "got both; remove the one that is not meant",
    ),
    "missing shard": ("shards", lambda path: first_shard(path).unlink(), "unet/.*-00001-of-.* is missing, which dif"),
    "shard outside": (
        "shards",
        shard_elsewhere("../vae/x.safetensors"),
        "'conv_in.weight': expected a plain file name",
    ),
    "absolute shard": ("shards", shard_elsewhere("/etc/passwd"), "'conv_in.weight': expected a plain file name"),
    "shard a pickle": ("shards", shard_elsewhere("model.bin"), "'conv_in.weight': expected a .safetensors file, got"),
    "no map": ("shards", changed(SHARDS, weight_map=None), "index.json: weight_map is missing"),
    "empty map": ("shards", changed(SHARDS, weight_map={}), "index.json: expected 1 to 512 files, got 0"),
    "shard of another version": (
        "shards",
        lambda path: save_file({"x": torch.ones(1)}, first_shard(path)),
        r"-00001-of-.*: expected the tensors that the index places there, got .* less and 1 more",
    ),
    "truncated": ("whole", cut(UNET), r"unet/diff.*safetensors: .*; the file is damaged or not whole: fetch it again"),
    "empty file": ("whole", written(UNET, b""), "unet/.*: expected a safetensors file, got '0 bytes'"),
    "garbage": ("whole", written(UNET, b"\xff" * 99), "expected a safetensors header of at most .*damaged"),
    "pickle by another name": (
        "whole",
        written(UNET, b"\x80\x02}q\x00." * 9),
        "expected a safetensors header .*damaged",
    ),
    "overlap": (
        "whole",
        written(
            UNET,
            header({n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in ("a", "b")}) + b"\0" * 8,
        ),
        "offset: expected 4, no hole or overlap",
    ),
    "pointer": ("whole", written(UNET, b"version https://git-lfs.github.com/spec/v1\n"), "pointer of Git LFS"),
    "loop": ("whole", replaced(UNET, lambda file: file.symlink_to(file.name)), "too many levels of symbolic links"),
    "link to nothing": (
        "whole",
        replaced(UNET, lambda file: file.symlink_to("gone")),
        "cannot be opened: no such file",
    ),
    "pipe": ("whole", replaced(UNET, os.mkfifo), "expected a regular file, got a folder, device, pipe or socket"),
    "pipe for a config": ("whole", replaced(CONFIG, os.mkfifo), "unet/config.json: expected a regular file"),
    "link to a device": ("whole", replaced(UNET, lambda file: file.symlink_to("/dev/zero")), "expected a regular file"),
    "folder for weights": ("whole", replaced(UNET, Path.mkdir), "expected a regular file, got a folder"),
    "tokenizer of code": (
        "whole",
        both(
            changed(INDEX, tokenizer=["transformers", "CLIPTokenizer"]),
            written("tokenizer/tokenizer_config.json", b'{"auto_map": {"AutoTokenizer": "t.T"}}'),
        ),
        "tokenizer/tokenizer_config.json: auto_map names code",
    ),
}


@pytest.mark.parametrize("case", OPENING)
def test_it_is_refused_when_it_is_opened(saved: Path, tmp_path: Path, case: str) -> None:
    layout, damage, message = OPENING[case]
    path = damaged(saved, tmp_path, layout, damage)
    with pytest.raises(InputError, match=message) as error:
        read_folder(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["gone", "file", "\0"])
def test_what_is_no_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"folder: (cannot be opened|expected a folder, got a file)"):
        read_folder(tmp_path / path)


def test_a_variant_that_is_no_name_is_refused(saved: Path) -> None:
    with pytest.raises(InputError, match="variant: expected a plain file name"):
        read_folder(saved / "whole", "../fp16")

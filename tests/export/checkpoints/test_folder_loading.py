"""Folders of diffusers whose weights are not those of their networks: each is refused by name when it is loaded."""

from pathlib import Path

import pytest
import torch
from damaged_folder import CONFIG, TEXT, UNET, Break, changed, damaged, put, weights

from fewstep.errors import InputError
from fewstep.export.checkpoints.folder import read_folder

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

LOADING: dict[str, tuple[str, str, Break, str]] = {
    "integers": (
        "whole", "unet", put("conv_in.weight", lambda x: x.to(torch.int32)),
        "unet: conv_in.weight: expected float16, bfloat16 or float32, got int32",
    ),
    "fp8": (
        "whole", "unet", put("conv_in.weight", lambda x: x.to(torch.float8_e4m3fn)),
        "unet: conv_in.weight: expected .*, got float8_e4m3fn; take the checkpoint that is not quantised",
    ),
    "fp64": ("whole", "unet", put("conv_in.weight", lambda x: x.double()), "conv_in.weight: .* got float64"),
    "transposed": (
        "whole", "unet", put("time_embedding.linear_1.weight", lambda x: x.T.contiguous()),
        r"unet: time_embedding.linear_1.weight: expected shape \(32, 8\), got \(8, 32\); it is transposed",
    ),
    "of another shape": (
        "whole", "unet", put("conv_in.weight", lambda x: x[:, :3].contiguous()),
        r"unet: conv_in.weight: expected shape \(8, 4, 3, 3\), got \(8, 3, 3, 3\)$",
    ),
    "missing": (
        "whole", "unet", weights(UNET, lambda state: state.pop("conv_in.bias")),
        "unet: 1 missing weights: conv_in.bias; weights and config.json are not of one network",
    ),
    "unknown": (
        "whole", "unet", weights(UNET, lambda state: state.update(more=torch.ones(1))),
        "unet: 1 unknown weights: more;",
    ),
    "missing of text": (
        "whole", "text_encoder", weights(TEXT, lambda state: [state.pop(k) for k in list(state) if "norm1.bias" in k]),
        "text_encoder: 2 missing weights: .*layer_norm1.bias",
    ),
    "unknown of text": (
        "whole", "text_encoder", weights(TEXT, lambda state: state.update(more=torch.ones(1))),
        "text_encoder: 1 unknown weights: more;",
    ),
    "shape of text": (
        "whole", "text_encoder",
        weights(TEXT, lambda s: s.update({k: v.T.contiguous() for k, v in s.items() if "0.mlp.fc1.w" in k})),
        r"text_encoder: .*layers.0.mlp.fc1.weight: expected shape \(32, 16\), got \(16, 32\); it is transposed",
    ),
    "integers of text": (
        "whole", "text_encoder",
        weights(TEXT, lambda s: s.update({k: v.int() for k, v in s.items() if "0.mlp.fc1.w" in k})),
        "text_encoder: .*fc1.weight: expected float16, bfloat16 or float32, got int32",
    ),
    "another config": (
        "whole", "unet", changed(CONFIG, cross_attention_dim=32), r"attn2.to_k.weight: expected shape \(8, 32\), got",
    ),
    "no config of its class": (
        "whole", "unet", changed(CONFIG, down_block_types=["Mine", "DownBlock2D"]),
        "unet: UNet2DConditionModel cannot be made of its config.json: ",
    ),
    "no config of text": (
        "whole", "text_encoder", changed("text_encoder/config.json", hidden_act="mine"),
        "text_encoder: CLIPTextModel cannot be made of its config.json: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOADING)
def test_it_is_refused_when_it_is_loaded(saved: Path, tmp_path: Path, case: str) -> None:
    layout, role, damage, message = LOADING[case]
    path = damaged(saved, tmp_path, layout, damage)
    with pytest.raises(InputError, match=message) as error:
        read_folder(path).load(role, torch.float32)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_the_folders_that_are_damaged_here_are_whole_before(saved: Path) -> None:
    for layout in ("whole", "shards"):
        found = read_folder(saved / layout)
        for role in found.networks:
            found.load(role, torch.float32)


def test_no_settings_that_choose_code_reach_transformers(saved: Path, tmp_path: Path) -> None:
    """transformers fetches and runs the kernels that a configuration's attn_implementation names."""
    path = damaged(
        saved,
        tmp_path,
        "whole",
        changed("text_encoder/config.json", attn_implementation="some/kernels", fusion_config={"a": 1}),
    )
    found = read_folder(path)
    assert not {"attn_implementation", "fusion_config", "architectures"} & found.networks["text_encoder"].config.keys()
    assert found.notes == (
        "text_encoder/config.json: attn_implementation, fusion_config ignored, which CLIPTextModel does not take",
    )
    assert found.load("text_encoder", torch.float32).config._attn_implementation != "some/kernels"  # type: ignore[union-attr]

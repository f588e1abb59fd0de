from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from lora_files import Factor, State, bare, draw_factors, flat, kohya, layers, peft, saved, tiny_unet, weight_of
from torch import nn

from fewstep.errors import InputError
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.lora.origin import origin
from fewstep.export.lora.read_lora import read_lora


@cache
def full(name: str) -> dict[str, nn.Module]:
    """The denoiser of a published size, without its weights."""
    networks = FAMILIES[MODELS[name]].full.networks
    role = "unet" if "unet" in networks else "transformer"
    with torch.device("meta"):
        return {role: networks[role].make()}


MODELS = {
    "SD 1": "hyper-sd15",
    "SD 2": "sd-turbo",
    "SDXL": "sdxl-turbo",
    "FLUX": "flux-schnell",
    "SD3": "sd3.5-large-turbo",
    "Z-Image": "z-image-turbo",
}


def attention(networks: dict[str, nn.Module]) -> dict[str, Factor]:
    """Rank 1 on the layers of attention, of zeros."""
    (network,) = networks.values()
    names = [name for name in layers(network) if ".attn" in name or ".attention." in name]
    return {
        name: Factor(torch.zeros(1, weight.shape[1]), torch.zeros(weight.shape[0], 1))
        for name, weight in ((name, weight_of(network, name)) for name in names)
    }


@pytest.mark.parametrize("style", [kohya, peft], ids=["kohya", "peft"])
def test_a_lora_of_another_family_is_refused(style: Callable[..., State], tmp_path: Path) -> None:
    for name, other in pairwise([*MODELS, "SD 1"]):
        networks = full(name)
        (role,) = networks
        prefix = "lora_unet_" if style is kohya else f"{role}."
        path = saved(tmp_path / f"{name}.safetensors", style(attention(networks), prefix))
        assert len(read_lora(path, networks).targets) > 100
        with pytest.raises(InputError, match=rf"^{name}\.safetensors: .*a LoRA of {name}, the model is {other}"):
            read_lora(path, full(other))


def test_keys_that_no_module_takes_are_named_and_counted(tmp_path: Path) -> None:
    unet = tiny_unet("sd_turbo.unet")
    factors = draw_factors(unet, ["conv_in"])
    state = kohya({**factors, **{f"absent.{i}": factors["conv_in"] for i in range(8)}})
    with pytest.raises(InputError) as caught:
        read_lora(saved(tmp_path / "a.safetensors", state), {"unet": unet})
    message = str(caught.value)
    assert message.startswith(
        "a.safetensors: 8 of 9 updates are of modules that the model has not: lora_unet_absent_0, lora_unet_absent_1, "
        "lora_unet_absent_2, lora_unet_absent_3, lora_unet_absent_4; its networks are unet; "
    )


@pytest.mark.parametrize("name", ["conv_norm_out", "down_blocks.0.attentions.0.norm", "unknown"])
def test_only_layers_that_multiply_have_updates(name: str, tmp_path: Path) -> None:
    unet = tiny_unet("sd_turbo.unet")
    state = kohya({name: Factor(torch.ones(1, 8), torch.ones(8, 1))})
    with pytest.raises(InputError, match="1 of 1 updates are of modules that the model has not"):
        read_lora(saved(tmp_path / "a.safetensors", state), {"unet": unet})


def test_a_network_that_was_not_given_is_no_reason_to_apply_the_half(tmp_path: Path) -> None:
    unet = tiny_unet("sd_turbo.unet")
    state = kohya(draw_factors(unet, ["conv_in"])) | kohya(
        {"text_model.encoder.layers.0.mlp.fc1": Factor(torch.ones(1, 8), torch.ones(8, 1))}, "lora_te_"
    )
    with pytest.raises(
        InputError, match=r"1 of 2 .*: lora_te_text_model_encoder_layers_0_mlp_fc1; its networks are unet"
    ):
        read_lora(saved(tmp_path / "a.safetensors", state), {"unet": unet})


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda f: Factor(f.down, f.up[:5]), r"\.conv_in: expected an update of shape \(8, 4, 3, 3\), got \(5, 4,"),
        (lambda f: Factor(f.down[:, :2], f.up), r"got \(8, 2, 3, 3\)"),
        (lambda f: Factor(f.down[..., :1], f.up), r"got \(8, 4, 3, 1\)"),
        (lambda f: Factor(f.down[..., 0, 0], f.up[..., 0, 0]), r"got \(8, 4\)"),
        (lambda f: Factor(f.down.transpose(0, 1), f.up.transpose(0, 1)[:, :4]), r"got \(4, 4, 3, 3\)"),
    ],
    ids=["outputs", "inputs", "kernel", "linear", "transposed"],
)  # fmt: skip
def test_a_wrong_shape_is_named(edit: Callable[[Factor], Factor], match: str, tmp_path: Path) -> None:
    unet = tiny_unet("sd_turbo.unet")
    state = kohya({"conv_in": edit(draw_factors(unet, ["conv_in"])["conv_in"])})
    with pytest.raises(InputError, match=match):
        read_lora(saved(tmp_path / "a.safetensors", state), {"unet": unet})


def test_many_wrong_shapes_are_counted(tmp_path: Path) -> None:
    unet = tiny_unet("sd_turbo.unet")
    state = kohya({name: Factor(torch.ones(1, 99), torch.ones(99, 1)) for name in layers(unet)[:12]})
    with pytest.raises(InputError, match=r"got \(99, 99\); and 7 more"):
        read_lora(saved(tmp_path / "a.safetensors", state), {"unet": unet})


def test_rows_of_a_fused_matrix_are_all_there(tmp_path: Path) -> None:
    network = tiny_unet("flux_schnell.transformer")
    for rows in (64, 128):
        state = kohya({"double_blocks.0.img_attn.qkv": Factor(torch.ones(1, 32), torch.ones(rows, 1))})
        with pytest.raises(
            InputError, match=rf"img_attn_qkv: expected 96 rows, of transformer_blocks\.0\.attn\.to_q, .*, got {rows}"
        ):
            read_lora(saved(tmp_path / "a.safetensors", state), {"transformer": network})
    state = kohya({"final_layer.adaLN_modulation.1": Factor(torch.ones(1, 32), torch.ones(65, 1))})
    with pytest.raises(InputError, match=r"expected 64 rows, of norm_out\.linear, got 65"):
        read_lora(saved(tmp_path / "a.safetensors", state), {"transformer": network})


def test_two_names_of_one_module_are_refused(tmp_path: Path) -> None:
    unet = tiny_unet("sd_turbo.unet")
    factors = draw_factors(unet, ["mid_block.resnets.0.conv1"])
    (factor,) = factors.values()
    state = kohya(factors) | kohya({"middle_block.0.in_layers.2": factor})
    with pytest.raises(
        InputError,
        match=r"lora_unet_mid_block_resnets_0_conv1 and lora_unet_middle_block_0_in_layers_2 are both of unet\.mid",
    ):
        read_lora(saved(tmp_path / "a.safetensors", state), {"unet": unet})


def test_a_grouped_convolution_has_no_update(tmp_path: Path) -> None:
    network = nn.Conv2d(4, 4, 3, groups=4)
    state = bare({"conv": Factor(torch.ones(1, 1, 3, 3), torch.ones(4, 1, 1, 1))})
    with pytest.raises(InputError, match="1 of 1 updates are of modules that the model has not"):
        read_lora(saved(tmp_path / "a.safetensors", state), {"unet": nn.ModuleDict({"conv": network})})


def test_the_prefix_tells_the_network(tmp_path: Path) -> None:
    """A file for a UNet is none for a transformer, even where a module has the same name."""
    network = tiny_unet("qwen_image.transformer")
    state = peft(draw_factors(network, ["img_in"]), "unet.")
    with pytest.raises(InputError, match=r"unet\.img_in; its networks are transformer; .*, the model is Qwen-Image"):
        read_lora(saved(tmp_path / "a.safetensors", state), {"transformer": network})


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("double_blocks.0.img_attn.qkv", "FLUX"),
        ("single_transformer_blocks.0.attn.to_q", "FLUX"),
        ("transformer_blocks.0.img_mlp.net.2", "Qwen-Image"),
        ("layers.3.attention.to_q", "Z-Image"),
        ("transformer_blocks.0.attn.add_q_proj", "SD3"),
        ("joint_blocks.0.x_block.attn.qkv", "SD3"),
        ("transformer_blocks.0.attn2.to_q", "SANA or PixArt"),
        ("blocks.0.self_attn.q", "Wan"),
        ("input_blocks.4.1.transformer_blocks.0.attn2.to_k", "SDXL"),
        ("down_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_v", "SDXL"),
        ("down_blocks.0.resnets.0.conv1", "a UNet"),
        ("text_model.encoder.layers.0.self_attn.q_proj", "a text encoder"),
        ("something", "an unknown model"),
    ],
)
def test_where_a_lora_is_from(module: str, expected: str) -> None:
    assert origin({flat(module): 2048}) == expected


def test_of_a_unet_the_width_of_its_text_tells() -> None:
    key = flat("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k")
    found = [origin({key: width, flat("mid_block.attentions.0.proj_in"): 1280}) for width in (768, 1024, 2048, 16)]
    assert found == ["SD 1", "SD 2", "SDXL", "a UNet whose text has 16 features"]

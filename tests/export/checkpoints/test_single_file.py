"""Single files: networks saved under their original names load to the same weights."""

from collections.abc import Callable, Mapping
from pathlib import Path

import original_layout as original
import pytest
import torch
from original_layout import State, under
from published_folders import change, tiny, write_network, write_sd, write_sdxl
from safetensors.torch import save_file
from torch import nn

from fewstep.errors import InputError
from fewstep.export.checkpoints.single_file import KINDS, read_single_file
from fewstep.export.families.catalogue import FAMILIES

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
UNET = "model.diffusion_model."
Networks = Mapping[str, nn.Module]


def same(got: nn.Module, expected: nn.Module) -> bool:
    one, two = got.state_dict(), expected.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def sd(networks: Networks, text: State) -> State:
    return (
        under(UNET, original.unet(networks["unet"]))
        | under("first_stage_model.", original.vae(networks["vae"]))
        | under("cond_stage_model.", text)
        | {"alphas_cumprod": torch.ones(3), "model_ema.decay": torch.ones(())}
    )


def sdxl(networks: Networks) -> State:
    return (
        under(UNET, original.unet(networks["unet"]))
        | under("first_stage_model.", original.vae(networks["vae"]))
        | under("conditioner.embedders.0.transformer.", original.clip(networks["text_encoder"]))
        | under("conditioner.embedders.1.model.", original.open_clip(networks["text_encoder_2"]))
    )


def marked(name: str) -> State:
    """A file of the marks of one kind and nothing else."""
    (kind,) = (kind for kind in KINDS if kind.name == name)
    prefixed = {m if m.startswith(("conditioner.", "down_blocks.")) else f"{UNET}{m}": n for m, n in kind.marks.items()}
    return {name: torch.ones(2, size or 1) for name, size in prefixed.items()}


@pytest.mark.parametrize("layout", ["of version 1", "of version 2"])
def test_stable_diffusion_loads_from_one_file(tmp_path: Path, layout: str) -> None:
    networks = write_sd(tmp_path / "config")
    encoder = networks["text_encoder"]
    text = (
        under("model.", original.open_clip(encoder)) if "2" in layout else under("transformer.", original.clip(encoder))
    )
    if "1" in layout:
        text["transformer.text_model.embeddings.position_ids"] = torch.arange(7)[None]
    save_file(sd(networks, text), tmp_path / "sd.safetensors")
    found = read_single_file(tmp_path / "sd.safetensors", tmp_path / "config")
    assert found.pipeline == "StableDiffusionPipeline" and found.path == tmp_path / "sd.safetensors"
    assert found.networks.keys() == networks.keys() and found.scheduler is not None
    for role, network in networks.items():
        assert same(found.load(role, torch.float32), network), role


def test_sdxl_loads_from_one_file(tmp_path: Path) -> None:
    networks = write_sdxl(tmp_path / "config")
    save_file(sdxl(networks), tmp_path / "xl.safetensors")
    found = read_single_file(tmp_path / "xl.safetensors", tmp_path / "config")
    assert found.networks.keys() == networks.keys()
    for role, network in networks.items():
        assert same(found.load(role, torch.float32), network), role


@pytest.mark.parametrize("names", ["diffusers", "original", "original under a prefix"])
def test_a_unet_alone_is_known_as_such(tmp_path: Path, names: str) -> None:
    unet = write_sdxl(tmp_path / "config")["unet"]
    state = unet.state_dict() if names == "diffusers" else original.unet(unet)
    save_file(under(UNET, state) if "prefix" in names else dict(state), tmp_path / "unet.safetensors")
    found = read_single_file(tmp_path / "unet.safetensors", tmp_path / "config")
    assert list(found.networks) == ["unet"]
    assert same(found.load("unet", torch.float32), unet)


@pytest.mark.parametrize("prefix", ["", UNET])
@pytest.mark.parametrize(
    ("pipeline", "name", "renamed"),
    [
        ("ZImagePipeline", "z_image_turbo.transformer", original.z_image),
        ("StableDiffusion3Pipeline", "sd35_turbo.transformer", original.sd3),
    ],
)
def test_a_transformer_loads_from_one_file(
    tmp_path: Path, pipeline: str, name: str, renamed: Callable[[nn.Module], State], prefix: str
) -> None:
    saved = write_network(tmp_path / "config", "transformer", tiny(name))
    change(tmp_path / "config" / "model_index.json", _class_name=pipeline)
    save_file(under(prefix, renamed(saved)), tmp_path / "x.safetensors")
    found = read_single_file(tmp_path / "x.safetensors", tmp_path / "config")
    assert same(found.load("transformer", torch.float32), saved)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_is_told_by_its_marks_and_has_our_family_s_networks(tmp_path: Path, kind: object) -> None:
    assert any(kind is known for known in KINDS)
    name = kind.name  # type: ignore[attr-defined]
    save_file(marked(name), tmp_path / "x.safetensors")
    found = read_single_file(tmp_path / "x.safetensors")
    (known,) = (known for known in KINDS if known.name == name)
    assert found.pipeline == known.pipeline and found.scheduler is None and not found.tokenizers
    for role, network in found.networks.items():
        assert network == FAMILIES[known.family].full.networks[role]
    assert found.networks
    role = next(iter(found.networks))
    with pytest.raises(InputError, match=rf"x.safetensors: (x.safetensors: )?{role}"):
        found.load(role, torch.float32)


def test_published_widths_tell_the_stable_diffusions_apart(tmp_path: Path) -> None:
    key = f"{UNET}input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"
    skip = {f"{UNET}output_blocks.11.0.skip_connection.weight": torch.ones(1, 1, 1, 1)}
    widths = {}
    for width in (768, 1024):
        save_file({key: torch.ones(1, width), **skip}, tmp_path / "x.safetensors")
        widths[width] = read_single_file(tmp_path / "x.safetensors").networks["unet"].setting("cross_attention_dim")
    assert widths == {768: 768, 1024: 1024}
    save_file({key: torch.ones(1, 640), **skip}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="not a model that is known"):
        read_single_file(tmp_path / "x.safetensors")


UNKNOWN = r"x.safetensors: not a model that is known .*Stable Diffusion 2: input_blocks.2.1.*\(..., 1024\); .*FLUX"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"x": torch.ones(1)}, UNKNOWN),
        ({"lora_unet_x.lora_down.weight": torch.ones(1)}, "x.safetensors: it is a LoRA, which changes a checkpoint"),
        (
            {
                "double_blocks.0.img_attn.norm.key_norm.scale": torch.ones(1),
                "guidance_in.in_layer.weight": torch.ones(1),
            },
            "not a model that is known .*FLUX.1-schnell: .* without guidance_in.in_layer.weight",
        ),
        ({**marked("Stable Diffusion 2"), "v_pred": torch.ones(1)}, "1 weights of no part of it: v_pred"),
    ],
    ids=["nothing known", "a LoRA", "FLUX.1-dev", "more than is known"],
)
def test_what_is_not_known_is_refused(tmp_path: Path, state: State, message: str) -> None:
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=message):
        read_single_file(tmp_path / "x.safetensors")


def test_pickles_and_damaged_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(b"\x80\x02")
    with pytest.raises(InputError, match=r"x.ckpt is a pickle, which can run any program"):
        read_single_file(tmp_path / "x.ckpt")
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(InputError, match="the file is damaged or not whole"):
        read_single_file(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("more", lambda x: torch.ones(2), r"unet: expected \d+ values after its weights got diffusers' names"),
        ("time_embed.0.weight", None, "unet: .*(1 missing weights: time_embedding.linear_1.weight|expected)"),
        ("time_embed.0.weight", lambda x: x.T.contiguous(), "time_embedding.linear_1.weight: .* it is transposed"),
        ("time_embed.0.weight", lambda x: x.int(), "unet: .*time_embed.0.weight: expected float16, .* got int32"),
        ("time_embed.0.weight", lambda x: x.to(torch.float8_e4m3fn), "got float8_e4m3fn; take the checkpoint"),
    ],
    ids=["unknown", "missing", "transposed", "integers", "fp8"],
)
def test_weights_that_are_not_the_network_s_are_refused(tmp_path: Path, name: str, make: object, message: str) -> None:
    networks = write_sdxl(tmp_path / "config")
    state = sdxl(networks)
    value = state.pop(f"{UNET}{name}", torch.ones(1))
    if callable(make):
        state[f"{UNET}{name}"] = make(value)
    save_file(state, tmp_path / "x.safetensors")
    found = read_single_file(tmp_path / "x.safetensors", tmp_path / "config")
    with pytest.raises(InputError, match=message) as error:
        found.load("unet", torch.float32)
    assert "\n" not in str(error.value)


def test_a_config_of_another_model_is_refused(tmp_path: Path) -> None:
    networks = write_sdxl(tmp_path / "xl")
    write_network(tmp_path / "config", "unet", tiny("sdxl_turbo.unet"))
    save_file(sdxl(networks), tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"config: pipeline: expected one of FluxPipeline, .* got 'APipeline'"):
        read_single_file(tmp_path / "x.safetensors", tmp_path / "config")
    (tmp_path / "config" / "model_index.json").write_text(
        '{"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}'
    )
    with pytest.raises(InputError, match=r"has weights of vae, of which there is no configuration"):
        read_single_file(tmp_path / "x.safetensors", tmp_path / "config")

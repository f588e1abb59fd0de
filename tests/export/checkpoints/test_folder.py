"""Folders of diffusers: what was saved is what is loaded, in one copy."""

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from published_folders import TINY_CLIP, change, networks, reference, tiny, write_network, write_sd, write_sdxl
from torch import Tensor, nn

from fewstep.errors import InputError
from fewstep.export.checkpoints.classes import CLASSES, LEGACY
from fewstep.export.checkpoints.folder import read_folder
from fewstep.export.families import clip_text
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.families.family import Network

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
Write = Callable[..., Mapping[str, nn.Module]]


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """All of them, those too that are not saved."""
    return dict(module.named_parameters()) | dict(module.named_buffers())


def same(got: nn.Module, expected: nn.Module, dtype: torch.dtype = torch.float32) -> bool:
    one, two = tensors(got), tensors(expected)
    return one.keys() == two.keys() and all(
        torch.equal(x, two[key].to(dtype) if x.is_floating_point() else two[key]) for key, x in one.items()
    )


@pytest.mark.parametrize("write", [write_sd, write_sdxl])
@pytest.mark.parametrize("saving", [{}, {"variant": "fp16"}, {"max_shard_size": "20KB"}], ids=str)
def test_a_saved_pipeline_is_what_was_saved(tmp_path: Path, write: Write, saving: dict[str, Any]) -> None:
    saved = write(tmp_path, **saving)
    if "max_shard_size" in saving:
        assert (tmp_path / "unet" / "diffusion_pytorch_model.safetensors.index.json").exists()
    found = read_folder(tmp_path, saving.get("variant"))
    assert found.networks.keys() == saved.keys()
    assert found.pipeline == json.loads((tmp_path / "model_index.json").read_text())["_class_name"]
    assert found.scheduler is not None and found.scheduler["timestep_spacing"] == "trailing"
    assert not found.tokenizers
    for role, module in saved.items():
        assert found.networks[role].kind == type(module).__name__
        got = found.load(role, torch.float32)
        assert type(got) is type(module) and same(got, module)
        assert not got.training and not any(p.requires_grad for p in got.parameters())


@pytest.mark.parametrize("network", networks(), ids=lambda network: network.kind)
def test_a_network_loads_as_its_own_library_loads_it(tmp_path: Path, network: Network) -> None:
    saved = write_network(tmp_path, "part", network)
    found = read_folder(tmp_path)
    assert not found.notes or network.kind == "AutoencoderTiny"  # which saves a setting that it cannot be given
    got = found.load("part", torch.float32)
    assert same(got, saved) and same(got, reference(tmp_path / "part", network))


@pytest.mark.parametrize("kind", ["CLIPTextModel", "T5EncoderModel", "Gemma2Model", "Qwen3Model"])
def test_halves_and_tables_are_those_of_transformers(tmp_path: Path, kind: str) -> None:
    network = next(network for network in networks() if network.kind == kind)
    write_network(tmp_path, "part", network)
    for dtype in (torch.float16, torch.bfloat16):
        got = read_folder(tmp_path).load("part", dtype)
        expected = reference(tmp_path / "part", network, dtype=dtype)
        assert [x.dtype for x in tensors(got).values()] == [x.dtype for x in tensors(expected).values()]
        assert all(torch.equal(x, tensors(expected)[name]) for name, x in tensors(got).items())


def test_weights_may_begin_at_any_byte(tmp_path: Path) -> None:
    """As older writers of safetensors left them: the header is not padded to eight bytes."""
    saved = write_network(tmp_path, "vae", tiny("sd.vae"))
    file = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    data = file.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = data[8 : 8 + length].rstrip() + b" "
    header += b" " * (1 - len(header) % 2)
    file.write_bytes(struct.pack("<Q", len(header)) + header + data[8 + length :])
    assert len(header) % 2
    assert same(read_folder(tmp_path).load("vae", torch.float32), saved)


def test_the_classes_of_all_families_are_listed() -> None:
    for family in FAMILIES.values():
        for network in family.full.networks.values():
            assert network.kind in CLASSES[network.library]
        for kind in (k for kinds in (family.published.networks.values() if family.published else ()) for k in kinds):
            assert kind == LEGACY or any(kind in listed for listed in CLASSES.values())


def test_weights_are_cast_once_and_computed_tables_are_not(tmp_path: Path) -> None:
    network = tiny("pixart_delta.transformer")
    saved = write_network(tmp_path, "transformer", network)
    got = read_folder(tmp_path).load("transformer", torch.bfloat16)
    assert {p.dtype for p in got.parameters()} == {torch.bfloat16}
    tables = dict(got.named_buffers())
    assert tables and all(torch.equal(tables[name], table) for name, table in saved.named_buffers())


def test_loading_twice_shares_nothing_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    saved = write_sd(tmp_path)
    found = read_folder(tmp_path)
    first = found.load("unet", torch.float32)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.fill_(7)
    assert same(found.load("unet", torch.float32), saved["unet"])


def test_the_pages_of_the_file_are_the_weights(tmp_path: Path) -> None:
    write_sd(tmp_path)
    got = read_folder(tmp_path).load("unet", torch.float32)
    lines = Path("/proc/self/maps").read_text().splitlines()
    mapped = [[int(n, 16) for n in line.split()[0].split("-")] for line in lines if str(tmp_path) in line]
    assert all(any(low <= p.data_ptr() < high for low, high in mapped) for p in got.parameters())


def test_prefixes_that_transformers_dropped_are_known(tmp_path: Path) -> None:
    """Files of the text encoders that were published name the model that they were cut out of."""
    from safetensors.torch import load_file, save_file

    network = clip_text.clip_text(TINY_CLIP)
    saved = write_network(tmp_path, "text_encoder", network)
    file = tmp_path / "text_encoder" / "model.safetensors"
    state = {f"text_model.{key.removeprefix('text_model.')}": value for key, value in load_file(file).items()}
    state["text_model.embeddings.position_ids"] = torch.arange(7)[None]
    save_file(state, file, {"format": "pt"})
    assert same(read_folder(tmp_path).load("text_encoder", torch.float32), saved)


def test_a_language_model_gives_its_body(tmp_path: Path) -> None:
    import transformers

    network = next(network for network in networks() if network.kind == "Qwen3Model")
    whole = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**network.config))
    whole.save_pretrained(tmp_path / "text_encoder")
    index = {"_class_name": "ZImagePipeline", "text_encoder": ["transformers", "Qwen3Model"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert same(read_folder(tmp_path).load("text_encoder", torch.float32), whole.model)


def test_attention_of_old_autoencoders_is_renamed(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    saved = write_network(tmp_path, "vae", tiny("sd.vae"))
    file = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = load_file(file)
    renamed = {}
    for key, value in state.items():
        for new, name in old.items():
            key = key.replace(f"attentions.0.{new}.", f"attentions.0.{name}.")
        renamed[key] = value
    assert renamed.keys() != state.keys()
    save_file(renamed, file, {"format": "pt"})
    assert same(read_folder(tmp_path).load("vae", torch.float32), saved)


@pytest.mark.parametrize(
    ("norm_type", "name"), [("ada_norm_single", "pixart_delta.transformer"), ("ada_norm_zero", "dit.transformer")]
)
def test_the_old_name_of_pixart_and_dit_is_known(tmp_path: Path, norm_type: str, name: str) -> None:
    saved = write_network(tmp_path, "transformer", tiny(name))
    change(tmp_path / "transformer" / "config.json", _class_name="Transformer2DModel", norm_type=norm_type)
    change(tmp_path / "model_index.json", transformer=["diffusers", "Transformer2DModel"])
    found = read_folder(tmp_path)
    assert found.networks["transformer"].kind == type(saved).__name__
    assert same(found.load("transformer", torch.float32), saved)


def test_missing_settings_take_the_constructors_defaults(tmp_path: Path) -> None:
    write_sd(tmp_path)
    change(tmp_path / "unet" / "config.json", freq_shift=None, unheard_of=3)
    found = read_folder(tmp_path)
    assert found.networks["unet"].setting("freq_shift") == 0
    assert "unheard_of" not in found.networks["unet"].config
    assert found.notes == ("unet/config.json: unheard_of ignored, which UNet2DConditionModel does not take",)


def test_an_autoencoder_of_one_precision_is_taken_and_said(tmp_path: Path) -> None:
    write_sd(tmp_path, variant="fp16")
    vae = tmp_path / "vae"
    (vae / "diffusion_pytorch_model.fp16.safetensors").rename(vae / "diffusion_pytorch_model.safetensors")
    assert read_folder(tmp_path, "fp16").notes == ("vae: has no variant fp16, its plain weights are taken",)


def test_both_variants_may_lie_in_a_folder(tmp_path: Path) -> None:
    saved = write_sd(tmp_path)
    write_sd(tmp_path / "half", variant="fp16", max_shard_size="20KB")
    for file in (tmp_path / "half" / "unet").iterdir():
        if file.name != "config.json":
            shutil.copy(file, tmp_path / "unet")
    assert same(read_folder(tmp_path).load("unet", torch.float32), saved["unet"])
    found = read_folder(tmp_path / "half", "fp16")
    assert same(found.load("unet", torch.float32), saved["unet"])


def test_what_else_the_index_says_is_kept_and_what_is_not_read_is_said(tmp_path: Path) -> None:
    write_sd(tmp_path)
    (tmp_path / "tokenizer").mkdir()
    change(
        tmp_path / "model_index.json",
        tokenizer=["transformers", "CLIPTokenizer"],
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        id2label={"0": "tench"},
    )
    found = read_folder(tmp_path)
    assert found.tokenizers == {"tokenizer": tmp_path / "tokenizer"}
    assert found.index == {"id2label": {"0": "tench"}, "requires_safety_checker": False}
    assert found.notes == ("safety_checker: StableDiffusionSafetyChecker is not read",)


def test_the_class_that_the_index_says_schedules(tmp_path: Path) -> None:
    write_sd(tmp_path)
    change(tmp_path / "model_index.json", scheduler=["diffusers", "LCMScheduler"])
    found = read_folder(tmp_path)
    assert found.scheduler is not None and found.scheduler["_class_name"] == "LCMScheduler"
    assert "EulerDiscreteScheduler" in found.notes[0]


def test_links_of_a_cache_are_followed(tmp_path: Path) -> None:
    """Hugging Face's cache: snapshots/<revision>/unet/config.json -> ../../../blobs/<digest>."""
    saved = write_sd(tmp_path / "plain")
    snapshot, blobs = tmp_path / "snapshots" / "abc", tmp_path / "blobs"
    blobs.mkdir()
    for i, file in enumerate(path for path in (tmp_path / "plain").rglob("*") if path.is_file()):
        link = snapshot / file.relative_to(tmp_path / "plain")
        link.parent.mkdir(parents=True, exist_ok=True)
        file.rename(blobs / str(i))
        link.symlink_to(Path("../" * len(link.relative_to(tmp_path).parts[1:])) / "blobs" / str(i))
    assert same(read_folder(snapshot).load("unet", torch.float32), saved["unet"])


def test_an_unknown_role_is_refused(tmp_path: Path) -> None:
    write_sd(tmp_path)
    with pytest.raises(InputError, match="network: expected one of text_encoder, unet, vae, got 'transformer'"):
        read_folder(tmp_path).load("transformer", torch.float32)
    with pytest.raises(InputError, match=r"dtype: expected torch.float16 or .*, got torch.int8"):
        read_folder(tmp_path).load("unet", torch.int8)

"""What a path or a name is taken for, and what is fetched of the Hub; nothing here uses the network."""

import fnmatch
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants, errors
from published_folders import write_sd
from safetensors.torch import save_file

from fewstep.errors import InputError, UnknownModelError
from fewstep.export.checkpoints.hub import fetch, patterns
from fewstep.export.checkpoints.opening import open_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
REVISION = "0123456789" * 4
REPOSITORY = "stabilityai/sd-turbo"


class Answer:
    """Of a server that has refused."""

    headers: dict[str, str] = {}  # noqa: RUF012
    request = None
    status_code = 404


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache, empty, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def snapshot_download(*args: Any, **kwargs: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)


def test_folders_files_and_names_are_told_apart(tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def snapshot_download(name: str, **arguments: Any) -> str:
        asked.update(arguments, name=name)
        return str(saved / "whole")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    assert open_checkpoint(saved / "whole").path == saved / "whole" and not asked
    key = "model.diffusion_model.layers.0.adaLN_modulation.0.weight"
    save_file({key: torch.ones(1)}, tmp_path / "z.safetensors")
    assert open_checkpoint("z.safetensors").pipeline == "ZImagePipeline" and not asked
    assert open_checkpoint(REPOSITORY, offline=True).path == saved / "whole"
    assert asked["name"] == REPOSITORY and asked["local_files_only"]
    open_checkpoint(REPOSITORY)
    assert asked["local_files_only"] == constants.HF_HUB_OFFLINE


def test_a_path_that_exists_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, AssertionError("the Hub was asked"))
    write_sd(tmp_path / REPOSITORY)
    monkeypatch.chdir(tmp_path)
    assert open_checkpoint(REPOSITORY).pipeline == "StableDiffusionPipeline"


def test_what_is_nothing_is_refused(tmp_path: Path, saved: Path) -> None:
    for name in ("sd-turbo", str(tmp_path / "gone" / "x"), "../x/y", "a/b/c", "a/-b", "a/b.safetensors", "a/b.ckpt"):
        with pytest.raises(
            UnknownModelError, match=r"expected a folder of diffusers, a .safetensors file or an owner/"
        ):
            open_checkpoint(name)
    with pytest.raises(InputError, match="config is for a single file"):
        open_checkpoint(saved / "whole", config=saved / "whole")
    (tmp_path / "x.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="variant 'fp16' is of a folder's weights"):
        open_checkpoint(tmp_path / "x.safetensors", variant="fp16")
    with pytest.raises(InputError, match="expected a safetensors file, got '0 bytes'"):
        open_checkpoint(tmp_path / "x.safetensors")


def test_a_cached_snapshot_opens_offline(cache: Path) -> None:
    home = cache / "models--stabilityai--sd-turbo"
    write_sd(home / "snapshots" / REVISION)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(REVISION)
    found = open_checkpoint(REPOSITORY, offline=True)
    assert found.path == home / "snapshots" / REVISION
    found.load("vae", torch.float16)


def test_what_the_cache_lacks_is_said_offline(cache: Path) -> None:
    for offline in (True, False):  # HF_HUB_OFFLINE is on
        with pytest.raises(
            UnknownModelError, match="stabilityai/sd-turbo: it is not whole in the cache, and nothing is"
        ):
            open_checkpoint(REPOSITORY, offline=offline)


ERRORS: dict[str, tuple[Callable[[], Exception], type[InputError], str]] = {
    "gated": (
        lambda: errors.GatedRepoError("403", response=Answer()),  # type: ignore[arg-type]
        InputError,
        "its authors want their terms accepted first; do that on huggingface.co/stabilityai/sd-turbo",
    ),
    "not there": (
        lambda: errors.RepositoryNotFoundError("404", response=Answer()),  # type: ignore[arg-type]
        UnknownModelError,
        "huggingface.co has no such repository, or it is private",
    ),
    "no network": (
        lambda: errors.LocalEntryNotFoundError("Got: ConnectError: no route\nAn error happened"),
        InputError,
        r"the Hub cannot be reached and the cache has it not: Got: ConnectError: no route$",
    ),
    "out of order": (
        lambda: errors.HfHubHTTPError("500 Server Error\nmore", response=Answer()),  # type: ignore[arg-type]
        InputError,
        "cannot be fetched: 500 Server Error$",
    ),
    "no room": (lambda: OSError(28, "No space left on device"), InputError, "cannot be fetched: .*No space left"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_the_hub_refuses_is_said(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    make, kind, message = ERRORS[case]
    failing(monkeypatch, make())
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(InputError, match=message) as error:
        open_checkpoint(REPOSITORY)
    assert type(error.value) is kind and "\n" not in str(error.value)


def test_a_name_that_is_none_is_never_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, AssertionError("the Hub was asked"))
    for name in ("x", "../x", "a/b/c", "https://huggingface.co/a/b", ""):
        with pytest.raises(InputError, match="repository: expected owner/name, got"):
            fetch(name)


@pytest.mark.parametrize(
    ("variant", "wanted", "unwanted"),
    [
        (
            None,
            ["unet/diffusion_pytorch_model.safetensors", "transformer/diffusion_pytorch_model-00001-of-3.safetensors"],
            ["unet/diffusion_pytorch_model.fp16.safetensors", "text_encoder/model.fp16-00001-of-00002.safetensors"],
        ),
        (
            "fp16",
            ["unet/diffusion_pytorch_model.fp16.safetensors", "text_encoder/model.fp16-00001-of-00002.safetensors",
             "vae/diffusion_pytorch_model.safetensors"],
            ["unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"],
        ),
    ],
)  # fmt: skip
def test_only_what_is_read_is_fetched(variant: str | None, wanted: list[str], unwanted: list[str]) -> None:
    wanted = [*wanted, "model_index.json", "unet/config.json", "tokenizer/merges.txt", "tokenizer/spiece.model"]
    unwanted = [*unwanted, "sd_turbo.safetensors", "unet/model.bin", "pipeline.py", "unet/diffusion_pytorch_model.onnx"]
    for files, expected in ((wanted, True), (unwanted, False)):
        for file in files:
            assert any(fnmatch.fnmatch(file, pattern) for pattern in patterns(variant)) is expected, file

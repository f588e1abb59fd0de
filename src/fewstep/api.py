"""fewstep.load: a model's name or folder, made ready to run."""

import difflib
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewstep.engine.checks import choice, refuse, short
from fewstep.engine.device import choose_device
from fewstep.engine.telemetry import refuse_telemetry
from fewstep.errors import BundleError, InputError, MissingDependencyError, UnknownModelError

if TYPE_CHECKING:  # what a model takes is imported with the first one, so that `import fewstep` is quick
    from fewstep.engine.bundle import Bundle
    from fewstep.engine.pipeline import Pipeline

BACKENDS = ("auto", "onnxruntime", "native", "torch")
DEVICES = ("auto", "cpu", "cuda")
MANIFEST = "bundle.json"
INDEX = "model_index.json"
CONTRACT = "contract.json"
PLAN = ".fsp"
CHECKPOINT_OPTIONS = ("family", "distilled_steps", "size", "variant", "denoiser", "loras", "config", "offline", "tile")
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
CHECKPOINT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def load(
    model: str | Path = "toons16",
    *,
    backend: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    max_error: float | None = None,
    dtype: str | None = None,
    **checkpoint: Any,
) -> "Pipeline":
    """Make a model ready.

    model: the name of a shipped model, a bundle's folder, a plan, which ends in .fsp, or a published checkpoint: a
    folder of diffusers, a single .safetensors file, or an owner/name of huggingface.co. A folder of a shipped model's
    name is "./name". backend: "onnxruntime" runs bundles, "native" runs plans, "torch" runs checkpoints, "auto" is the
    one that fits. device: "cpu", "cuda" or "auto": of a bundle see choose_device, of a plan what it was compiled for.
    threads: CPU threads, by default the physical cores this process may use. max_error: of a plan, refuse it unless its
    certificate, which `fewstep verify` writes, says that its latents are this near the bundle's, relative to their rms.
    dtype: of a checkpoint, "fp32", "fp16" or "bf16". checkpoint: how one is opened, by name: family,
    distilled_steps, size (height, width), variant, denoiser, loras, config, offline, tile; docs/families.md says
    what they are. loras is of a plan too that was compiled with --lora-rank.

    Raises UnknownModelError, BundleError for a damaged bundle, PlanError for a damaged plan and InputError for a
    damaged checkpoint, MissingDependencyError for a device onnxruntime was not built for, BackendError for one that
    does not start.
    """
    refuse_telemetry()
    choice("backend", backend, BACKENDS)
    choice("device", device, DEVICES)
    if unknown := sorted(checkpoint.keys() - {*CHECKPOINT_OPTIONS}):
        raise refuse("options", f"some of {', '.join(CHECKPOINT_OPTIONS)}", unknown)
    if is_checkpoint(model):
        return _load_checkpoint(str(model), backend, device, max_error, dtype, checkpoint)
    if is_plan(model) and checkpoint.keys() <= {"loras"} and dtype is None:
        pipe = _load_plan(Path(model), backend, device, threads, max_error)
        if loras := checkpoint.get("loras"):
            pipe.set_loras(loras)
        return pipe
    if given := [name for name, value in {"dtype": dtype, **checkpoint}.items() if value is not None]:
        raise InputError(f"{given[0]}: expected with a checkpoint alone, got {short(str(model))}")
    if max_error is not None:
        raise InputError(f"max_error: expected with a plan alone, got {short(str(model))}")
    if backend == "torch":
        raise InputError(f"backend: torch runs checkpoints, got the bundle {short(str(model))}; choose onnxruntime")
    if backend == "native":
        source = _quoted(model)
        raise InputError(
            f"backend: native runs plans, got {short(str(model))}; run `fewstep compile {source} -o MODEL{PLAN}` and "
            f"load MODEL{PLAN}"
        )
    from fewstep.engine.pipeline import Pipeline
    from fewstep.engine.text import Texts

    device = choose_device()[0] if device == "auto" else device
    bundle = open_model(model)
    from fewstep.engine.backends.onnxruntime import OnnxRuntimeBackend

    texts = Texts(bundle.manifest.texts, bundle.files) if bundle.manifest.texts else None
    return Pipeline(bundle.manifest, OnnxRuntimeBackend(bundle, device=device, threads=threads), texts)


def is_checkpoint(model: object) -> bool:
    """Whether it is a published one: a folder of diffusers, a single file, or an owner/name that is no path."""
    if not isinstance(model, str | Path) or not str(model) or "\0" in str(model):
        return False
    path = Path(model)
    if os.path.lexists(path):
        return (path / INDEX).is_file() or (path.suffix == ".safetensors" and not (path.parent / CONTRACT).exists())
    return REPOSITORY.fullmatch(str(model)) is not None and path.suffix not in (PLAN, *CHECKPOINT_SUFFIXES)


def _load_checkpoint(
    path: str,
    backend: str,
    device: str,
    max_error: float | None,
    dtype: str | None,
    options: Mapping[str, Any],
) -> "Pipeline":
    if max_error is not None:
        raise InputError(f"max_error: expected with a plan alone, got {short(path)}")
    if backend not in ("auto", "torch"):
        raise InputError(
            f"backend: {backend} runs no checkpoint; run `fewstep export {_quoted(path)} -o FOLDER` and load FOLDER, "
            "or choose torch"
        )
    try:
        from fewstep.published import load_checkpoint
    except ImportError as error:
        raise MissingDependencyError(
            f"{short(path)} is a checkpoint, which needs {error.name}; pip install 'fewstep[export]'"
        ) from error
    return load_checkpoint(path, options, device=device, dtype=dtype)


def is_plan(model: object) -> bool:
    """Whether it is the name of a plan, there or not."""
    return isinstance(model, str | Path) and Path(model).suffix == PLAN and "\0" not in str(model)


def _load_plan(path: Path, backend: str, device: str, threads: int | None, max_error: float | None) -> "Pipeline":
    if backend in ("onnxruntime", "torch"):
        raise InputError(f"backend: {backend} runs no plans, got {short(str(path))}; choose native")
    if not os.path.lexists(path):
        raise UnknownModelError(
            f"there is no plan {short(str(path))}; `fewstep compile MODEL -o {_quoted(path)}` makes one"
        )
    from fewstep.engine.backends.native import NativeBackend
    from fewstep.engine.pipeline import Pipeline
    from fewstep.engine.plan_model import check_certificate
    from fewstep.engine.text import Texts
    from fewstep.plan_loras import PlanLoras

    native = NativeBackend(path, device=device, threads=threads)
    if max_error is not None:
        check_certificate(native.program.certificate, max_error, short(str(path)))
    specs = native.model.texts
    files = {spec.tokenizer: native.program.file(spec.tokenizer) for spec in specs}
    loras = PlanLoras(native.program) if native.program.adapters else None
    return Pipeline(native.model, native, Texts(specs, files) if specs else None, loras)


def shipped_models() -> dict[str, Path]:
    """The models in the package: name -> folder."""
    folder = Path(__file__).parent / "models"
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{MANIFEST}"))}


def open_model(model: str | Path) -> "Bundle":
    """The verified bundle of a shipped model's name or of a folder."""
    from fewstep.engine.bundle import Bundle

    shipped = shipped_models()
    if isinstance(model, str) and model in shipped:
        return Bundle.open(shipped[model], hard_links=True)
    return Bundle.open(_folder(model, list(shipped)))


def _folder(model: str | Path, shipped: list[str]) -> Path:
    if not isinstance(model, str | Path) or not str(model) or "\0" in str(model):
        raise InputError(f"model: expected the name of a model or a folder, got {short(model)}")
    path = Path(model)
    if path.suffix in CHECKPOINT_SUFFIXES or _looks_like_checkpoint(path):
        raise UnknownModelError(
            f"{short(str(model))} is a checkpoint, not a bundle; run `fewstep export {_quoted(model)} -o FOLDER` "
            "and load FOLDER"
        )
    if os.path.islink(path) and os.path.isdir(path):
        raise BundleError(f"folder {short(str(model))} is a symbolic link; give the folder it leads to")
    if os.path.isdir(path):
        if not os.path.lexists(path / MANIFEST):
            raise UnknownModelError(f"folder {short(str(model))} is no bundle: it has no {MANIFEST}")
        return path
    close = difflib.get_close_matches(str(model), shipped, n=2, cutoff=0.5)
    name, names = short(str(model)), ", ".join(shipped) or "none"
    hint = f", did you mean {' or '.join(close)}?" if close else "."
    raise UnknownModelError(f"unknown model {name}{hint} Shipped models: {names}; or give a bundle's folder")


def _quoted(model: str | Path) -> str:
    """As a shell reads it, if a person can."""
    quoted = shlex.quote(str(model))
    return quoted if quoted.isprintable() and len(quoted) < 200 else "CHECKPOINT"


def _looks_like_checkpoint(path: Path) -> bool:
    if os.path.lexists(path / MANIFEST):
        return False
    return any(os.path.exists(path / name) for name in ("model_index.json", "config.json", "model.safetensors"))

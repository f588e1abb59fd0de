"""A bundle into a plan: what `fewstep compile` does."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fewstep.api import is_checkpoint, open_model
from fewstep.engine.bundle import Bundle
from fewstep.engine.checks import choice, flag, refuse, whole
from fewstep.errors import InputError, OutputError
from fewstep.export.lower.generation import Lora, compile_bundle
from fewstep.export.lower.plan_file import write_plan
from fewstep.export.lower.text import target_name
from fewstep.export.lower.weights import Weight

PRECISIONS = ("float32", "float16", "bfloat16")
MAX_BATCH = 1024
PTX_ARCH = 80
MAX_LORA_RANK = 1024


@dataclass(frozen=True)
class Compiled:
    path: Path
    facts: Mapping[str, Any]


def compile_plan(
    model: str | Path,
    path: Path,
    *,
    device: str = "cpu",
    architectures: Sequence[int] = (90,),
    ptx: bool = False,
    matmul: str = "triton",
    steps: Sequence[int] = (),
    batch: int = 1,
    precision: str = "float32",
    lora_rank: int | None = None,
    lora_targets: str | Path = "all",
    noise: str = "seeds",
    edit: bool = False,
    overwrite: bool = False,
    processes: int | None = None,
    progress: Callable[[str], None] | None = None,
    **checkpoint: Any,
) -> Compiled:
    """Write the plan of a model.

    model: as fewstep.load takes it. architectures: of the GPU, 90 for sm_90. ptx: whether it also holds PTX of sm_80,
    which the driver compiles for later ones. matmul: triton, or on a GPU cublaslt for the plain products that it
    takes. steps: of those the model was distilled for, none for all. batch: images of one run. precision: of weights
    and, on a GPU, of what lies between operations. lora_rank: leaves updates of this rank open, for set_loras of what
    fewstep.load makes of the plan. lora_targets: which of the denoiser's modules have one: all, attention, or those
    of a LoRA file. noise: made of the "seeds" on the device; or an "input", so that a run may begin with any noise, at
    any step and with a picture. edit: besides, it takes a mask of what is kept of the picture. processes: how many
    compile kernels at a time, one a core unless
    given; they are spawned, so a script calls this from under `if __name__ == "__main__"`. progress: told what is being
    done. checkpoint: how a published one is opened, as fewstep.load takes it; such a one is exported first.

    Raises ContractError for settings the model has not, LoweringError for an operation that plans have not, OutputError
    if there is a file already or it cannot be written.
    """
    choice("device", device, ("cpu", "cuda"))
    choice("matmul", matmul, ("triton", "cublaslt") if device == "cuda" else ("triton",))
    choice("precision", precision, PRECISIONS)
    choice("noise", noise, ("seeds", "input"))
    flag("edit", edit)
    whole("batch", batch, 1, MAX_BATCH)
    for where, given in (("steps", steps), ("architectures", architectures)):
        if len({*given}) < len(given):
            raise refuse(where, "each once", list(given))
    if device == "cuda":
        _check_architectures(architectures)
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path}: is there already; choose another name, or replace it with --force")
    lora = None
    if lora_rank is not None:
        from fewstep.export.lora.open_targets import OpenTargets

        lora = Lora(whole("lora_rank", lora_rank, 1, MAX_LORA_RANK), OpenTargets(lora_targets))
    tell = progress or _silent
    bundle = _bundle(model, Path(path), precision, checkpoint, tell)
    target: dict[str, Any] = {"device": device}
    if device == "cuda":
        target["architectures"] = list(architectures)
        if ptx:
            target["ptx"] = PTX_ARCH
    tell("lowering")
    program, weights = compile_bundle(
        bundle,
        target=target,
        steps=list(steps) or None,
        batch=batch,
        precision=precision,
        processes=processes,
        progress=tell,
        matmul=matmul,
        lora=lora,
        noise=noise,
        edit=edit,
    )
    tell("writing")
    write_plan(path, program, {**weights, **_carried(bundle)})
    loop = next(stage for stage in program.stages if stage.name == "step")
    counts = sorted(int(count) for count in (program.schedule or {}).get("counts", {}))
    facts = {
        "name": bundle.manifest.name,
        "target": target_name(program.target),
        "dtype": precision,
        "steps": ", ".join(map(str, counts)),
        "batch": batch,
        "ops": len(loop.ops),
        "arena": program.arena,
        "bytes": path.stat().st_size,
    }
    return Compiled(path, facts)


def _bundle(
    model: str | Path, path: Path, precision: str, checkpoint: Mapping[str, Any], tell: Callable[[str], None]
) -> Bundle:
    """The model's; a checkpoint's is made beside the plan and gone from the disk again, as it is held in memory."""
    if not is_checkpoint(model):
        if checkpoint:
            raise InputError(f"{next(iter(checkpoint))}: expected with a published checkpoint alone")
        return open_model(model)
    from fewstep.export.from_checkpoint import Wanted, export_published

    stored = "fp16" if precision == "float16" else "fp32"
    try:
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            out = Path(folder) / "bundle"
            return export_published(str(model), out, Wanted(**checkpoint), dtype=stored, progress=tell).bundle
    except FileNotFoundError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def _carried(bundle: Bundle) -> dict[str, Weight]:
    """The files that a request needs and no operation reads: the tokenizers."""
    return {text.tokenizer: _file(bundle.files[text.tokenizer]) for text in bundle.manifest.texts}


def _file(data: bytes) -> Weight:
    return Weight("u8", (len(data),), lambda: np.frombuffer(data, np.uint8))


def _check_architectures(given: Sequence[int]) -> None:
    from fewstep.kernels.aot import SHARED_KIB

    if not {*given} <= SHARED_KIB.keys():
        raise refuse("architectures", f"some of {', '.join(map(str, SHARED_KIB))}", list(given))


def _silent(what: str) -> None:
    pass

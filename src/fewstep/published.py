"""A published checkpoint, made ready with PyTorch: what fewstep.load does of a folder of diffusers."""

import time
from pathlib import Path

import torch

from fewstep.engine.backends.torch.model import TorchModel
from fewstep.engine.checks import choice
from fewstep.engine.pipeline import Pipeline
from fewstep.engine.text import Texts
from fewstep.export.from_checkpoint import open_family

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def load_checkpoint(
    path: Path,
    *,
    device: str = "auto",
    family: str | None = None,
    size: tuple[int, int] | None = None,
    variant: str | None = None,
    dtype: str | None = None,
) -> Pipeline:
    """dtype: fp32 on a CPU and bf16 on CUDA unless given. Raises InputError naming the file that is wrong."""
    start = time.perf_counter()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = DTYPES[choice("dtype", dtype or ("fp32" if device == "cpu" else "bf16"), DTYPES)]
    opened = open_family(path, family=family, size=size, variant=variant, dtype=kind)
    contract = opened.contract
    files = {spec.tokenizer: opened.source.tokenizers[Path(spec.tokenizer).stem][0] for spec in contract.texts}
    texts = Texts(contract.texts, files) if contract.texts else None
    model = TorchModel(opened.generation(device, kind), load_ms=(time.perf_counter() - start) * 1e3)
    return Pipeline(contract, model, texts)

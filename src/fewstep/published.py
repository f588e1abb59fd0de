"""A published checkpoint, made ready with PyTorch: what fewstep.load does of one."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fewstep.engine.backends.torch.model import TorchModel
from fewstep.engine.checks import choice
from fewstep.engine.pipeline import Pipeline
from fewstep.engine.text import Texts
from fewstep.export.from_checkpoint import Wanted, open_family

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def load_checkpoint(
    path: str, options: Mapping[str, Any], *, device: str = "auto", dtype: str | None = None
) -> Pipeline:
    """options: of a Wanted. dtype: fp32 on a CPU and bf16 on CUDA unless given. Raises what open_family does."""
    start = time.perf_counter()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = DTYPES[choice("dtype", dtype or ("fp32" if device == "cpu" else "bf16"), DTYPES)]
    given = {name: value for name, value in options.items() if value is not None}
    opened = open_family(path, Wanted(**given), dtype=kind)
    contract = opened.contract
    files = {spec.tokenizer: opened.source.tokenizers[Path(spec.tokenizer).stem][0] for spec in contract.texts}
    texts = Texts(contract.texts, files) if contract.texts else None
    model = TorchModel(opened.generation(device, kind), load_ms=(time.perf_counter() - start) * 1e3)
    return Pipeline(contract, model, texts)

"""Fills a network from safetensors bytes, or says which weight is not the network's."""

import torch
from safetensors.torch import load
from torch import Tensor, nn

from fewstep.engine.checks import refuse
from fewstep.engine.reading.safetensors_header import read_header
from fewstep.errors import InputError

DTYPES = ("F16", "BF16", "F32")
NAMED = 5  # of the weights that are missing or too many


def fill(network: nn.Module, data: bytes, file: str) -> None:
    """Loads the state dict in `data`, the bytes of `file`, as float32: every weight, and none but those."""
    found = {tensor.name: tensor for tensor in read_header(data, file)}
    expected = {name: tuple(values.shape) for name, values in network.state_dict().items()}
    for title, names in (("missing", expected.keys() - found.keys()), ("unknown", found.keys() - expected.keys())):
        if names:
            raise InputError(f"{file}: {len(names)} {title} weights: {', '.join(sorted(names)[:NAMED])}")
    for name, shape in expected.items():
        tensor = found[name]
        if tensor.dtype not in DTYPES:
            raise refuse(f"{file}: {name}", f"dtype {' or '.join(DTYPES)}", tensor.dtype)
        if tensor.shape != shape:
            hint = "; it is transposed" if tensor.shape == shape[::-1] else ""
            raise InputError(f"{file}: {name}: expected shape {shape}, got {tensor.shape}{hint}")
    state: dict[str, Tensor] = {name: values.to(torch.float32) for name, values in load(data).items()}
    for name, values in state.items():
        if not values.isfinite().all():
            raise refuse(f"{file}: {name}", "finite values", f"{int((~values.isfinite()).sum())} NaN or infinite ones")
    network.load_state_dict(state)

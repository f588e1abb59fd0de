"""A checkpoint folder: model.safetensors, config.json, contract.json, and the files that the contract names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor

from fewstep.engine import strict_json
from fewstep.engine.bundle_manifest import Contract
from fewstep.engine.contract_reader import take_contract
from fewstep.engine.fields import Fields, distinct, file_name, one_of, real, refuse, sequence, whole
from fewstep.engine.regular_file import open_folder, read_regular
from fewstep.engine.safetensors_header import read_header
from fewstep.errors import InputError
from fewstep.export.families.trigflow_unet import GROUPS, TrigFlowUNet, TrigFlowUNetConfig

WEIGHTS, CONFIG, CONTRACT = "model.safetensors", "config.json", "contract.json"
MAX_JSON = 1 << 20
MAX_FILE = 1 << 36
PICKLES = frozenset({".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"})
DTYPES = frozenset({"F16", "BF16", "F32"})


@dataclass(frozen=True)
class Checkpoint:
    """files: the licence and whatever else the contract asks to carry along."""

    network: TrigFlowUNet
    contract: Contract
    files: Mapping[str, bytes]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a checkpoint folder, or its model.safetensors, into a float32 network.

    Raises InputError naming the file, and the key or the weight, that is wrong.
    """
    given = Path(path)
    if given.suffix in PICKLES:
        raise _pickle(given.name)
    folder = given.parent if given.name == WEIGHTS and not given.is_dir() else given
    try:
        with open_folder(folder) as descriptor:
            return _read(descriptor, folder)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read(folder: int, path: Path) -> Checkpoint:
    if not (path / WEIGHTS).exists() and (pickles := sorted(p.name for p in path.iterdir() if p.suffix in PICKLES)):
        raise _pickle(pickles[0])
    config = read_config(_json(folder, CONFIG))
    fields = Fields(_json(folder, CONTRACT), CONTRACT)
    contract = take_contract(fields)
    include = [file_name(v, f"{CONTRACT}: include") for v in fields.take("include", sequence, 0, 64)]
    fields.done()
    distinct([contract.license.file, *include], f"{CONTRACT}: include")
    check_contract(contract, config)
    network = TrigFlowUNet(config)
    load_weights(network, _file(folder, WEIGHTS))
    files = {name: _file(folder, name) for name in (contract.license.file, *include)}
    return Checkpoint(network.eval(), contract, files)


def _file(folder: int, name: str) -> bytes:
    return read_regular(folder, name, MAX_FILE, hard_links=True)


def _json(folder: int, name: str) -> object:
    return strict_json.loads(read_regular(folder, name, MAX_JSON, hard_links=True), name, MAX_JSON)


def _pickle(name: str) -> InputError:
    return InputError(
        f"{name}: a pickle can run any program when it is read, so fewstep reads none; "
        f"save the state dict with safetensors.torch.save_file as {WEIGHTS}"
    )


def read_config(document: object) -> TrigFlowUNetConfig:
    """The network's config.json. Raises InputError unless a network can be made of it."""
    fields = Fields(document, CONFIG)
    fields.take("_class_name", one_of, ("TrigFlowUNet",))
    patch = fields.take("patch", whole, 1, 64)
    a, b, c = (whole(n, f"{CONFIG}: channels", GROUPS, 8192) for n in fields.take("channels", sequence, 3, 3))
    config = TrigFlowUNetConfig(
        image_size=fields.take("image_size", whole, 1, 4096),
        channels=(a, b, c),
        labels=tuple(whole(n, f"{CONFIG}: labels", 1, 1 << 16) for n in fields.take("labels", sequence, 1, 64)),
        embedding=fields.take("embedding", whole, 1, 8192),
        patch=patch,
        heads=fields.take("heads", whole, 1, 128),
        sigma_data=fields.take("sigma_data", real, 1e-3, 1e3),
    )
    fields.done()
    if any(n % GROUPS for n in config.channels) or c % config.heads:
        raise refuse(f"{CONFIG}: channels", f"multiples of {GROUPS}, the last one of heads too", config.channels)
    if config.image_size % (4 * patch):
        raise refuse(f"{CONFIG}: image_size", f"a multiple of 4 * patch = {4 * patch}", config.image_size)
    return config


def check_contract(contract: Contract, config: TrigFlowUNetConfig) -> None:
    """Raises InputError where the contract promises what this network is not."""
    found = (contract.image.channels, contract.image.height, contract.image.width)
    if found != (3, config.image_size, config.image_size):
        raise refuse(f"{CONTRACT}: image", f"3 channels of {config.image_size} x {config.image_size}", found)
    rows = tuple((len(table.values), table.null) for table in contract.labels)
    if rows != tuple((n, n) for n in config.labels):
        raise refuse(f"{CONTRACT}: labels", f"tables of {config.labels} values, each null the number of values", rows)
    schedule = contract.schedule
    if schedule.name != "trigflow":
        raise refuse(f"{CONTRACT}: schedule.name", "trigflow", schedule.name)
    for count, options in schedule.steps.items():
        if (sigma_data := options.get("sigma_data", 0.5)) != config.sigma_data:
            where = f"{CONTRACT}: schedule.steps.{count}.sigma_data"
            raise refuse(where, f"{config.sigma_data}, as in {CONFIG}", sigma_data)


def load_weights(network: TrigFlowUNet, data: bytes) -> None:
    """Fills the network, in float32, from the bytes of a safetensors file that must hold its state dict and no more."""
    tensors = {tensor.name: tensor for tensor in read_header(data, WEIGHTS)}
    expected = network.state_dict()
    for title, names in (("missing", expected.keys() - tensors.keys()), ("unknown", tensors.keys() - expected.keys())):
        if names:
            raise InputError(f"{WEIGHTS}: {title} weights: {', '.join(sorted(names)[:5])}, {len(names)} in all")
    for name, tensor in tensors.items():
        shape = tuple(expected[name].shape)
        if tensor.dtype not in DTYPES:
            raise refuse(f"{WEIGHTS}: {name}", f"dtype {', '.join(sorted(DTYPES))}", tensor.dtype)
        if tensor.shape != shape:
            hint = " (it is transposed)" if tensor.shape == shape[::-1] else ""
            raise refuse(f"{WEIGHTS}: {name}", f"shape {shape}", f"{tensor.shape}{hint}")
    state: dict[str, Tensor] = {name: tensor.to(torch.float32) for name, tensor in load(data).items()}
    for name, values in state.items():
        if not values.isfinite().all():
            raise refuse(f"{WEIGHTS}: {name}", "finite values", "NaN or infinity")
    network.load_state_dict(state)


def write_json(document: Mapping[str, object]) -> bytes:
    """The bytes of a JSON file that people read, too."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

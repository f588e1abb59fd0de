"""A checkpoint folder: model.safetensors, config.json, contract.json, and the files that the contract names."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fewstep.engine.bundle_manifest import Contract
from fewstep.engine.checks import distinct, file_name, sequence
from fewstep.engine.reading import strict_json
from fewstep.engine.reading.contract_reader import take_contract
from fewstep.engine.reading.fields import Fields
from fewstep.engine.reading.regular_file import open_folder, read_regular
from fewstep.errors import InputError
from fewstep.export.config import CONFIG, CONTRACT, check_contract, read_config
from fewstep.export.families.trigflow_unet import TrigFlowUNet
from fewstep.export.state_dict import fill

WEIGHTS = "model.safetensors"
MAX_JSON = 1 << 20
MAX_FILE = 1 << 36
MAX_INCLUDED = 64
PICKLES = frozenset({".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"})


@dataclass(frozen=True)
class Checkpoint:
    """files: name -> bytes of the licence and of whatever else the contract carries along."""

    network: TrigFlowUNet
    contract: Contract
    files: Mapping[str, bytes]


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a checkpoint folder, or a .safetensors file beside its two .json files, into a float32 network.

    Raises InputError naming the file and the key or weight that is wrong.
    """
    given = Path(path)
    named = given.suffix == ".safetensors" and not given.is_dir()
    folder, weights = (given.parent, given.name) if named else (given, WEIGHTS)
    try:
        if given.suffix in PICKLES:
            raise refuse_pickle(given.name, WEIGHTS)
        with open_folder(folder) as descriptor:
            names = sorted(os.listdir(descriptor))
            if weights not in names and (pickles := [name for name in names if Path(name).suffix in PICKLES]):
                raise refuse_pickle(pickles[0], WEIGHTS)
            return _read(descriptor, weights)
    except InputError as error:
        raise InputError(f"{given}: {error}") from error


def _read(folder: int, weights: str) -> Checkpoint:
    config = read_config(_json(folder, CONFIG))
    fields = Fields(CONTRACT, _json(folder, CONTRACT))
    contract = take_contract(fields)
    include = [file_name(f"{CONTRACT}: include", v) for v in fields.take("include", sequence, 0, MAX_INCLUDED)]
    fields.done()
    names = [contract.license.file, *include]
    distinct(f"{CONTRACT}: include", names)
    check_contract(contract, config)
    network = TrigFlowUNet(config)
    fill(network, _bytes(folder, weights, MAX_FILE), weights)
    return Checkpoint(network.eval(), contract, {name: _bytes(folder, name, MAX_FILE) for name in names})


def _bytes(folder: int, name: str, max_size: int) -> bytes:
    return read_regular(folder, name, max_size, hard_links=True)


def _json(folder: int, name: str) -> object:
    return strict_json.loads(_bytes(folder, name, MAX_JSON), name, MAX_JSON)


def refuse_pickle(name: str, instead: str) -> InputError:
    """instead: the safetensors file to save."""
    return InputError(
        f"{name} is a pickle, which can run any program when it is read, so fewstep reads none; "
        f"save its state dict with safetensors.torch.save_file as {instead}"
    )

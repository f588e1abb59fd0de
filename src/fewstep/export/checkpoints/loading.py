"""A network with a checkpoint's weights in place of those that its constructor would draw."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fewstep.engine.checks import refuse, short
from fewstep.errors import InputError
from fewstep.export.checkpoints.weights import State
from fewstep.export.checkpoints.widened import widened
from fewstep.export.families.family import Network

# Weights of networks that use them no more, and heads of language models that are read for their hidden states.
UNUSED = re.compile(r"(^|\.)position_ids$|(^|\.)rotary_emb\.inv_freq$|^lm_head\.weight$|^logit_scale$")
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
NAMED = 5  # of the weights that are missing or too many


def load(network: Network, state: State, dtype: torch.dtype, where: str) -> nn.Module:
    """The network with the weights of `state`, cast to dtype, in eval mode and without gradients.

    Weights that are of that dtype already stay where they are, in the file's pages, and so do large ones of 16 bits for
    float32, which are widened as they are used. What the network computes for itself, such as position tables, is what
    its library computes. Raises InputError naming the weight that is wrong.
    """
    if dtype not in DTYPES:
        raise refuse("dtype", " or ".join(map(str, DTYPES)), dtype)
    make = _diffusers if network.library == "diffusers" else _transformers
    given = floats(state, where)
    if dtype == torch.float32:
        given = {name: widened(tensor) for name, tensor in given.items()}
    module = make(network, given, dtype, where)
    left = [name for name, tensor in _tensors(module) if tensor.is_meta]
    assert not left, f"{network.kind}: nothing computed {short(left)}"
    return module.eval().requires_grad_(False)


def floats(state: State, where: str) -> State:
    """Without what no network uses. Raises InputError for a weight that is no float of 16 or 32 bits."""
    out = {name: tensor for name, tensor in state.items() if tensor.dtype in DTYPES or not UNUSED.search(name)}
    for name, tensor in out.items():
        if tensor.dtype not in DTYPES:
            hint = "; take the checkpoint that is not quantised" if tensor.dtype.itemsize == 1 else ""
            expected = "float16, bfloat16 or float32"
            raise InputError(
                f"{where}: {name}: expected {expected}, got {str(tensor.dtype).removeprefix('torch.')}{hint}"
            )
    return out


def _diffusers(network: Network, state: State, dtype: torch.dtype, where: str) -> nn.Module:
    with _made_of(network, where), _Unfilled():
        module: Any = network.make()
    module._fix_state_dict_keys_on_load(state)  # attention of the autoencoders of 2022
    expected: Mapping[str, Tensor] = module.state_dict()
    _refuse_names(where, expected.keys() - state.keys(), state.keys() - expected.keys())
    state = {name: state[name] for name in expected}
    for name, tensor in expected.items():
        _check_shape(where, name, tensor.shape, state[name].shape)
    module.load_state_dict({name: tensor.to(dtype) for name, tensor in state.items()}, assign=True)
    return module  # type: ignore[no-any-return]


def _transformers(network: Network, state: State, dtype: torch.dtype, where: str) -> nn.Module:
    """By the library's own loader, which knows what the weights were called in its earlier versions."""
    kind: Any = getattr(import_module("transformers"), network.kind)
    with _made_of(network, where), _quiet():
        module, info = kind.from_pretrained(
            None,
            config=kind.config_class(**network.config),
            state_dict=state,
            dtype=dtype,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            local_files_only=True,
        )
    for name, found, expected in sorted(info["mismatched_keys"]):
        _check_shape(where, name, expected, found)
    _refuse_names(where, info["missing_keys"], info["unexpected_keys"])
    return module  # type: ignore[no-any-return]


class _Unfilled(TorchFunctionMode):
    """torch.empty takes no memory: weights wait for a checkpoint's; what a constructor computes, it computes."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        return func(*args, **(given | {"device": "meta"} if func is torch.empty else given))


@contextmanager
def _made_of(network: Network, where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever the constructor of another library says of a stranger's configuration
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(f"{where}: {network.kind} cannot be made of its config.json: {reason[:400]}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers without its progress bar and its report of the weights, which are checked here."""
    logging = import_module("transformers.utils.logging")
    bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _refuse_names(where: str, missing: Collection[str], unexpected: Collection[str]) -> None:
    unknown = [name for name in unexpected if not UNUSED.search(name)]
    for title, names in (("missing", missing), ("unknown", unknown)):
        if names:
            more = ", ..." if len(names) > NAMED else ""
            raise InputError(
                f"{where}: {len(names)} {title} weights: {', '.join(sorted(names)[:NAMED])}{more}; "
                "weights and config.json are not of one network"
            )


def _check_shape(where: str, name: str, expected: Collection[int], found: Collection[int]) -> None:
    if tuple(found) != tuple(expected):
        hint = "; it is transposed" if tuple(found) == tuple(expected)[::-1] else ""
        raise InputError(f"{where}: {name}: expected shape {tuple(expected)}, got {tuple(found)}{hint}")


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()

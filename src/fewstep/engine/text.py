"""Prompts to tokens, as a model's tokenizer.json says."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.bundle_manifest import TextSpec
from fewstep.engine.checks import refuse
from fewstep.errors import BundleError, InputError, MissingDependencyError

if TYPE_CHECKING:
    import tokenizers

MAX_PROMPT = 32_000  # characters


class Texts:
    """The tokenizers of a model. Safe to use from several threads."""

    def __init__(self, specs: Sequence[TextSpec], files: Mapping[str, bytes]) -> None:
        """files: those that specs name. Raises BundleError for one that is no tokenizer, MissingDependencyError."""
        self._specs = tuple(specs)
        self._tokenizers = {spec.ids: _tokenizer(spec, files[spec.tokenizer]) for spec in self._specs}

    def encode(self, prompts: Sequence[str]) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...]]:
        """int64 (n, length) by input, and a warning for each prompt that was cut."""
        rows: dict[str, list[Sequence[int]]] = {}
        warnings = {}
        for spec in self._specs:
            for i, prompt in enumerate(prompts):
                encoding = self._tokenizers[spec.ids].encode(_prepared(spec, prompt))
                rows.setdefault(spec.ids, []).append(encoding.ids)
                if spec.mask is not None:
                    rows.setdefault(spec.mask, []).append(encoding.attention_mask)
                if encoding.overflowing:
                    warnings[i] = f"prompt {i + 1} is longer than {spec.length} tokens; what is beyond them was cut off"
        return {name: np.array(ids, np.int64) for name, ids in rows.items()}, tuple(warnings.values())


def check_prompt(where: str, prompt: object) -> str:
    """Raises InputError unless it is a text that can be tokenized."""
    if not isinstance(prompt, str):
        raise refuse(where, "a text", prompt)
    if len(prompt) > MAX_PROMPT:
        raise refuse(where, f"at most {MAX_PROMPT} characters", f"{len(prompt)} characters")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: expected text, got half a surrogate pair at character {error.start}") from error
    return prompt


def _prepared(spec: TextSpec, prompt: str) -> str:
    before, after = spec.template.split("{}")
    return before + (prompt.lower().strip() if spec.lower else prompt) + after


def _tokenizer(spec: TextSpec, data: bytes) -> "tokenizers.Tokenizer":
    try:
        import tokenizers
    except ImportError as error:
        raise MissingDependencyError("prompts need tokenizers; pip install 'fewstep[text]'") from error
    try:
        made: tokenizers.Tokenizer = tokenizers.Tokenizer.from_str(data.decode())
        made.enable_truncation(spec.length)
        made.enable_padding(length=spec.length, pad_id=spec.pad, direction="right")
        made.encode("a")
    except BaseException as error:  # its panics are no Exceptions
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise BundleError(f"{spec.tokenizer}: expected a tokenizer.json, got {_first_line(error)}") from error
    return made


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]

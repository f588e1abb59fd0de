"""A checkpoint's tokenizer, whatever files it is in, as one tokenizer.json."""

from pathlib import Path
from typing import Any

from fewstep.errors import InputError


def read_tokenizer(folder: Path) -> tuple[bytes, int]:
    """The tokenizer.json and the id it pads with. Raises InputError; no code of the checkpoint runs."""
    from transformers import AutoTokenizer
    from transformers.utils import logging as untyped_logging

    logging: Any = untyped_logging
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        made: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        text: str = made.backend_tokenizer.to_str()
    except Exception as error:  # transformers' errors have no common base
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{folder}: expected a tokenizer that transformers reads, got: {reason}") from error
    finally:
        logging.set_verbosity(level)
    pad = made.pad_token_id
    if pad is None:
        raise InputError(f"{folder}: its tokenizer does not say what it pads with; expected a pad_token")
    return text.encode(), int(pad)


def token_count(tokenizer: bytes, text: str) -> int:
    """How many tokens a tokenizer.json makes of a text, special ones included."""
    from tokenizers import Tokenizer

    return len(Tokenizer.from_str(tokenizer.decode()).encode(text).ids)

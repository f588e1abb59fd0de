"""Tokenizers of letters, each with the rules of its kind, as their checkpoints have them."""

import json
import string
from pathlib import Path
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel

LETTERS = string.ascii_letters + string.digits + string.punctuation
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def clip(folder: Path, tokens: int, pad: str = "<|endoftext|>") -> Any:
    """folder: where its files are made."""
    from transformers import CLIPTokenizer

    letters = string.ascii_lowercase
    words = ["!", *letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>", "ca"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\n")
    files = {"vocab": str(folder / "vocab.json"), "merges": str(folder / "merges.txt")}
    return CLIPTokenizer(**files, model_max_length=tokens, pad_token=pad)


def t5(tokens: int) -> Any:
    """99 pieces."""
    from transformers import T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("▁ca", -1.0)]
    pieces += [(letter, -3.0) for letter in LETTERS]
    return T5Tokenizer(vocab=pieces[:99], extra_ids=0, model_max_length=tokens)


def gemma() -> Any:
    """Of 109 pieces."""
    from transformers import GemmaTokenizer

    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", "\n", "ca", *LETTERS]
    kind: Any = GemmaTokenizer
    return kind(vocab={word: i for i, word in enumerate(words)}, merges=[("c", "a")])


def qwen() -> Any:
    """Of 260 pieces, with a chat's template."""
    from transformers import Qwen2Tokenizer

    words = [*sorted(ByteLevel.alphabet()), "ca", "<|endoftext|>"]
    kind: Any = Qwen2Tokenizer
    made = kind(vocab={word: i for i, word in enumerate(words)}, merges=[("c", "a")])
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    made.chat_template = CHAT
    return made

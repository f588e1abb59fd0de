"""Tokens of a tokenizer.json: padded, cut, masked; and files that are none."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from fewstep.engine.bundle_manifest import TextSpec
from fewstep.engine.text import Texts
from fewstep.errors import BundleError

WORDS = {"?": 0, "<": 1, ">": 2, "a": 3, "b": 4, "A": 5, "say": 6, "now": 7}


def tokenizer() -> bytes:
    """Of a few words, between 1 and 2."""
    made: Any = tokenizers.Tokenizer(models.WordLevel(WORDS, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="< $A >", special_tokens=[("<", 1), (">", 2)])
    return str(made.to_str()).encode()


def spec(**changes: Any) -> TextSpec:
    return replace(TextSpec("t.json", "ids", "mask", length=6, pad=9, template="{}", lower=False), **changes)


def encode(prompts: list[str], **changes: Any) -> Any:
    return Texts([spec(**changes)], {"t.json": tokenizer()}).encode(prompts)


def test_tokens_are_padded_and_masked() -> None:
    tokens, cut = encode(["a b", ""])
    assert tokens["ids"].tolist() == [[1, 3, 4, 2, 9, 9], [1, 2, 9, 9, 9, 9]]
    assert tokens["mask"].tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]]
    assert tokens["ids"].dtype == np.int64 and cut == ()


def test_a_long_one_keeps_its_ends_and_is_told() -> None:
    tokens, cut = encode(["a", "a b a b a"])
    assert tokens["ids"].tolist()[1] == [1, 3, 4, 3, 4, 2]
    assert cut == ("prompt 2 is longer than 6 tokens; what is beyond them was cut off",)
    assert encode(["a b a b"])[1] == ()


def test_templates_and_case() -> None:
    tokens, _ = encode([" A "], template="say {} now", mask=None)
    assert list(tokens) == ["ids"] and tokens["ids"].tolist() == [[1, 6, 5, 7, 2, 9]]
    assert encode([" A "], lower=True)[0]["ids"].tolist() == [[1, 3, 2, 9, 9, 9]]


def test_each_encoder_has_its_own_tokens() -> None:
    texts = Texts([spec(mask=None), spec(ids="ids_2", mask=None, length=4, pad=0)], {"t.json": tokenizer()})
    tokens, cut = texts.encode(["a b a"])
    assert tokens["ids"].tolist() == [[1, 3, 4, 3, 2, 9]] and tokens["ids_2"].tolist() == [[1, 3, 4, 2]]
    assert cut == ("prompt 1 is longer than 4 tokens; what is beyond them was cut off",)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[1", tokenizer()[:-1], json.dumps({"model": 1}).encode()])
def test_what_is_no_tokenizer(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"t\.json: expected a tokenizer\.json, got ."):
        Texts([spec()], {"t.json": data})

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.engine.bundle_manifest import LabelTable
from fewstep.engine.vocabulary import MAX_PROMPT, Vocabulary
from fewstep.errors import InputError

CLASSES = ("critters", "planets", "voxel-bot", "pixel-art", "pixelbot", "gaze", "landscape")
BACKGROUNDS = ("pink", "blue", "purple", "green", "yellow", "orange", "white", "navy")
COLORS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "white")
TOONS = Vocabulary(
    [
        LabelTable("class", CLASSES, len(CLASSES)),
        LabelTable("background", BACKGROUNDS, len(BACKGROUNDS)),
        LabelTable("color", COLORS, len(COLORS)),
    ]
)
GREEN_ON_PURPLE = {"class": "critters", "color": "green", "background": "purple"}


@pytest.mark.parametrize(
    "prompt",
    [
        "green critter on purple",
        "Green CRITTERS on a Purple background",
        "on purple, a green critter",
        "critter, green, on purple",
        "a green critter against purple",
        "green critter with purple background",
        "green critter with a purple backdrop",
        "green critter in front of purple",
        "purple background with a green critter",
        "purple background with green critters",
        "purple background green critter",
        "green critter background purple",
        "critter purple background green",
        "critter of green color on purple",
        "critter, colour green, background: purple",
        "critter_green on-purple",
    ],
)
def test_ways_to_say_it(prompt: str) -> None:
    parsed = TOONS.parse(prompt)
    assert parsed.labels == GREEN_ON_PURPLE and parsed.unknown_words == ()


@pytest.mark.parametrize(
    ("prompt", "labels"),
    [
        ("planets", {"class": "planets"}),
        ("planet", {"class": "planets"}),
        ("a voxel bot", {"class": "voxel-bot"}),
        ("voxel-bots", {"class": "voxel-bot"}),
        ("VoxelBot", {"class": "voxel-bot"}),
        ("pixel art", {"class": "pixel-art"}),
        ("pixel bot", {"class": "pixelbot"}),
        ("landscapes in navy", {"class": "landscape", "background": "navy"}),
        ("navy gaze", {"class": "gaze", "background": "navy"}),
        ("green", {"color": "green"}),
        ("on green", {"background": "green"}),
        ("green on green", {"color": "green", "background": "green"}),
        ("ｇｒｅｅｎ critter", {"class": "critters", "color": "green"}),
        ("red red critter", {"class": "critters", "color": "red"}),
    ],
)
def test_what_it_means(prompt: str, labels: dict[str, str]) -> None:
    assert TOONS.parse(prompt).labels == labels


def test_unknown_words_are_reported_once_as_written() -> None:
    parsed = TOONS.parse("A Sparkly green critter, sparkly with Été on purple; Sparkly!")
    assert parsed.labels == GREEN_ON_PURPLE and parsed.unknown_words == ("Sparkly", "sparkly", "Été")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "no word of the prompt '' is known; the vocabulary is class: critters, planets"),
        ("a unicorn", "no word of the prompt 'a unicorn' is known"),
        ("red green critter", "both red and green for color"),
        ("critter planet", "both critters and planets for class"),
        ("critter on red", "background cannot be red; expected pink, blue"),
        ("red background", "background cannot be red"),
        ("critter\0", "NUL"),
        ("critter \ud800", "lone surrogate"),
        ("critter " * MAX_PROMPT, "at most 32000 characters"),
        (7, "prompt: expected text, got 7 of type int"),
        (b"critter", "expected text"),
        (["critter"], "expected text"),
    ],
)
def test_refused(prompt: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TOONS.parse(prompt)  # type: ignore[arg-type]


@given(st.permutations(["green", "critter", "on purple"]))
def test_order_does_not_matter(parts: list[str]) -> None:
    assert TOONS.parse(" ".join(parts)).labels == GREEN_ON_PURPLE


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(prompt: str) -> None:
    known = any(letter.isalnum() for letter in prompt)
    with contextlib.suppress(InputError):
        assert TOONS.parse(prompt).labels and known


@given(st.sampled_from(CLASSES), st.sampled_from(BACKGROUNDS), st.sampled_from(COLORS))
def test_every_combination_can_be_said(name: str, background: str, color: str) -> None:
    expected = {"class": name, "background": background, "color": color}
    assert TOONS.parse(f"{color} {name} on {background}").labels == expected
    assert TOONS.resolve(expected) == expected


def test_a_label_is_a_name_or_a_mapping() -> None:
    assert TOONS.resolve("Planet") == {"class": "planets"}
    assert TOONS.resolve("navy") == {"background": "navy"}
    assert TOONS.resolve({"class": "voxel bot", "Colour": "Teal"}) == {"class": "voxel-bot", "color": "teal"}
    assert TOONS.resolve({}) == {}


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("planetz", "unknown label 'planetz', did you mean planets"),
        ("unicorn", "unknown label 'unicorn'; the vocabulary is"),
        ("green", "may mean background or color; say background=green or color=green"),
        ("", "unknown label ''"),
        ({"class": "plants"}, "unknown class 'plants', did you mean planets.*expected critters"),
        ({"class": 3}, "unknown class 3"),
        ({"class": None}, "unknown class None"),
        ({"class": "planets", "Class": "gaze"}, "the label says both planets and gaze for class; choose one"),
        ({"color": "red", "colour": "teal"}, "both red and teal for color"),
        ({"klass": "planets"}, "unknown label table 'klass'; expected class, background, color"),
        ({3: "planets"}, "unknown label table 3"),
        (3, "expected a name or a mapping"),
        (None, "expected a name or a mapping"),
        ("pla\0nets", "NUL"),
        ("\udcff", "lone surrogate"),
    ],
)
def test_labels_refused(label: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TOONS.resolve(label)


def test_words_of_a_model_with_no_background_table() -> None:
    plain = Vocabulary([LabelTable("class", ("cat", "dog"), 2)])
    assert plain.parse("a dog on a table").labels == {"class": "dog"}
    assert plain.parse("a dog on a table").unknown_words == ("table",)

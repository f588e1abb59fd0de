import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from forged_bundle import Forgery
from hypothesis import given
from hypothesis import strategies as st

from fewstep.engine.bundle import Bundle
from fewstep.engine.reading import strict_json
from fewstep.engine.reading.manifest_reader import MAX_MANIFEST, parse_manifest
from fewstep.errors import BundleError, InputError

Path_ = tuple[str | int, ...]
WHOLE = json.loads(Forgery().json())


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The path of every value in a document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def at(document: Any, path: Path_) -> Any:
    for key in path:
        document = document[key]
    return document


def changed(path: Path_, value: Any) -> bytes:
    document = copy.deepcopy(WHOLE)
    at(document, path[:-1])[path[-1]] = value
    return json.dumps(document).encode()


def test_the_manifest_that_tests_change_is_legal() -> None:
    assert parse_manifest(Forgery().json()).name == "forged"


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("format",), "other", "format: expected fewstep-bundle, got 'other'"),
        (
            ("version",),
            6,
            r"version: expected 1, 2, 3, 4, 5, which this fewstep reads \(a newer fewstep may read more\), got 6",
        ),
        (("version",), 2, "components.denoiser: stages is missing"),
        (("version",), 3, "texts: expected to be there from version 3 on, got 'version 3'"),
        (("texts",), [], "texts: expected to be there from version 3 on, got 'version 1'"),
        (("version",), True, "version: expected 1"),
        (("components", "denoiser", "stages"), {}, "expected only the keys of docs/bundle.md, got 'stages'"),
        (("name",), "../up", "name: expected a name"),
        (("name",), "toons\n", "name: expected a name"),
        (("description",), "\x1b[2J", "description: expected a printable string"),
        (("description",), "\ud800", "description: expected a printable string"),
        (("license", "file"), "absent", "license: file absent is not listed"),
        (("state", "shape"), [3, 4, 5], "state.shape: expected channels, height and width of image"),
        (("state", "shape"), [2**16] * 8, "state.shape: expected at most"),
        (("latent", "scaling_factor"), 0, "latent.scaling_factor: expected a number from 1e-06"),
        (("image", "width"), 4.0, "image.width: expected an integer"),
        (("image", "width"), True, "image.width: expected an integer from 1 to 65536, got True"),
        (("image", "range"), [1, -1], "image.range: expected two numbers that rise"),
        (("image", "range"), [1], "image.range: expected 2 values, got 1"),
        (("labels", 0, "values"), [], "values: expected 1 to"),
        (("labels", 0, "values"), ["one", "one"], "values: expected names that differ"),
        (("labels", 0, "null"), 3, "null: expected an integer from 0 to 2, got 3"),
        (("labels",), WHOLE["labels"] * 2, "labels: expected names that differ"),
        (("labels",), [], "components.denoiser.inputs: expected dtypes and shapes"),
        (("schedule", "name"), "magic", "schedule.steps.1: schedule: expected one of"),
        (("schedule", "guidance"), -1, "schedule.guidance: expected a number from 0"),
        (("schedule", "default_steps"), 4, "schedule.default_steps: expected one of 1, 2, got 4"),
        (("schedule", "steps"), {}, "schedule.steps: expected 1 to 64 step counts"),
        (("schedule", "steps"), {"0": {}}, "schedule.steps: expected step counts from 1 to 1000, got '0'"),
        (("schedule", "steps"), {"+1": {}}, "expected step counts"),
        (("schedule", "steps"), {"1001": {}}, "expected step counts"),
        (("schedule", "steps", "2"), {"times": [1.5]}, "schedule.steps.2: times: expected"),
        (("schedule", "steps", "2"), {"steps": 3}, "schedule.steps.2: expected options of the schedule, got 'steps'"),
        (("schedule", "steps", "2"), {"magic": 3}, "schedule.steps.2: trigflow: expected options among"),
        (("schedule", "steps", "2"), [], "schedule.steps.2: expected an object"),
        (("components",), {}, "components: denoiser is missing"),
        (("components", "denoiser", "graph"), "/etc/passwd", "graph: expected a plain file name"),
        (("components", "denoiser", "graph"), "denoiser.safetensors", "weights: expected names that differ"),
        (("components", "denoiser", "weights"), ["absent"], "file absent is not listed"),
        (("components", "denoiser", "inputs", 0, "shape"), ["N", 3, 4, 4], "shape: expected 'B' as the first axis"),
        (("components", "denoiser", "inputs", 0, "dtype"), "float16", "dtype: expected one of float32, int64"),
        (("components", "denoiser", "outputs", 0, "shape"), ["B", 3], "components.denoiser.outputs: expected dtypes"),
        (("files", "LICENSE", "sha256"), "A" * 64, "sha256: expected 64 lower-case"),
        (("files", "LICENSE", "size"), -1, "size: expected an integer from 0"),
        (("files", "LICENSE", "size"), 2**36, "files: expected at most 68719476736 bytes in all"),
        (("files",), {f"f{i}": WHOLE["files"]["LICENSE"] for i in range(257)}, "files: expected at most 256 files"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_a_wrong_field_is_named(path: Path_, value: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        parse_manifest(changed(path, value))


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "/a", "a\\b", "C:a", "a\0", "a\n", "a b", "é", "-rf", "a" * 129, "bundle.json"],
)
def test_file_names_are_plain(name: str) -> None:
    with pytest.raises(InputError, match="files: expected"):
        parse_manifest(changed(("files", name), {"sha256": "0" * 64, "size": 0}))


@pytest.mark.parametrize("path", [p for p in places(WHOLE) if p and isinstance(p[-1], str)], ids=str)
def test_every_key_is_needed(path: Path_) -> None:
    optional = path[-1] in ("times", "1")
    document = copy.deepcopy(WHOLE)
    del at(document, path[:-1])[path[-1]]
    if optional:
        parse_manifest(json.dumps(document).encode())
    else:
        with pytest.raises(InputError, match=r"bundle\.json: "):
            parse_manifest(json.dumps(document).encode())


@pytest.mark.parametrize("path", [p for p in places(WHOLE) if isinstance(at(WHOLE, p), dict)], ids=str)
def test_no_other_key_is_allowed(path: Path_) -> None:
    with pytest.raises(InputError, match=r"bundle\.json"):
        parse_manifest(changed((*path, "comment"), "hello"))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([p for p in places(WHOLE) if p]), JUNK)
def test_junk_anywhere_is_refused_or_read(path: Path_, junk: Any) -> None:
    message = "bundle.json: "
    try:
        parse_manifest(changed(path, junk))
    except InputError as error:
        message = str(error)
    assert message.startswith("bundle.json: ") and len(message) < 2000


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "not legal JSON"),
        (b"[1]", "bundle.json: expected an object, got"),
        (b"{", "not legal JSON"),
        (b'{"a": 1, "a": 2}', "key 'a' appears twice"),
        (b'{"a": {"b": 1, "b": 1}}', "key 'b' appears twice"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1e999}', "1e999 is too large a number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not legal JSON"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b"\xef\xbb\xbf{}", "not legal JSON"),
        (b"[" * 100_000, "nested deeper than 16 levels"),
        (b'{"a":' * 17 + b"0" + b"}" * 17, "nested deeper than 16 levels"),
        (b" " * (MAX_MANIFEST + 1), "expected at most 1048576 bytes, got 1048577"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_loose_json_is_refused(data: bytes, match: str) -> None:
    with pytest.raises(InputError, match=match):
        parse_manifest(data)


def test_brackets_in_strings_are_no_depth() -> None:
    assert strict_json.loads(b'["[[[[[[[[[[[[[[[[[[[[", "\\"[[[[[[[[[[[[[[[[["]', "x", 99)[0].startswith("[[")


@pytest.mark.parametrize("unit", [b'"\\"', b'\\"', b'"', b'"a":', b"[],", b"{}"])
def test_hostile_json_takes_bounded_time(unit: bytes) -> None:
    start = time.process_time()
    with pytest.raises(InputError):
        parse_manifest((b"[" + unit * MAX_MANIFEST)[:MAX_MANIFEST])
    assert time.process_time() - start < 5


def test_a_refused_manifest_is_a_bundle_error(tmp_path: Path) -> None:
    forgery = Forgery()
    forgery.manifest["version"] = 7
    with pytest.raises(BundleError, match=r"bundle\.json: version: expected 1"):
        Bundle.open(forgery.write(tmp_path))

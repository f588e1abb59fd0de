"""The plans that the fuzzer begins with are legal, and those that their script writes."""

from fuzz_seeds import FOLDER, seeds

from fewstep import _runtime


def test_the_corpus_is_what_its_script_writes() -> None:
    made = seeds()
    assert {file.name: file.read_bytes() for file in FOLDER.iterdir()} == made
    for data in made.values():
        _runtime.check_plan(data)

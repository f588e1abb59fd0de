from pathlib import Path

import pytest
from tiny_model import write_checkpoint, write_tiny_bundle


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an exported bundle of random weights; not to be changed."""
    return write_tiny_bundle(tmp_path_factory.mktemp("export"))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint folder that a test may change."""
    return write_checkpoint(tmp_path / "checkpoint")

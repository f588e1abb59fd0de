from pathlib import Path

import pytest
from published_folders import write_sd


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whole, and one in shards; not to be changed."""
    path = tmp_path_factory.mktemp("saved")
    write_sd(path / "whole")
    write_sd(path / "shards", max_shard_size="20KB")
    return path

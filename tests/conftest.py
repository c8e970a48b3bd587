"""Fixtures for all rooms: caches and wandb stay in a temporary folder, one thread, real data where it is at hand."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # the sizes of tests are too small for more, and results then do not depend on the machine


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    """Keep what tests cache out of the home folder; subprocesses inherit it."""
    folder = tmp_path_factory.mktemp("cache")
    before = {name: os.environ.get(name) for name in ("MOLGRAPH_CACHE", "WANDB_MODE", "OMP_NUM_THREADS")}
    os.environ |= {"MOLGRAPH_CACHE": str(folder), "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    yield folder
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def data_folder():
    """Return the folder of real data, or None."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MOLGRAPH_DATA", beside))
    return folder if folder.is_dir() else None


@pytest.fixture
def real_data():
    """The folder of public data sets; a test that needs it is skipped where it is absent."""
    folder = data_folder()
    if folder is None:
        pytest.skip("no folder of data sets: set MOLGRAPH_DATA")
    return folder


@pytest.fixture(autouse=True)
def seed():
    """Start each test with the same random numbers."""
    torch.manual_seed(0)

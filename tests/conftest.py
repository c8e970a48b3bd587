"""Fixtures for all rooms: caches and wandb stay in a temporary folder, one thread, real data where it is at hand."""

import os
from pathlib import Path

import numpy as np
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


@pytest.fixture(scope="session")
def particles(tmp_path_factory):
    """A folder of particles that fall and slow down in a box: two trajectories a part."""
    from molgraph.particles.data.trajectory import Metadata, Trajectory, write_set
    from molgraph.particles.geometry.space import Box

    path = tmp_path_factory.mktemp("particles") / "set"

    def trajectory(seed):
        generator = np.random.default_rng(seed)
        start, velocity = generator.uniform(0.2, 0.8, (20, 2)), generator.normal(0, 0.3, (20, 2))
        time = np.arange(20)[:, None, None] * 0.01
        positions = start + velocity * 0.2 * (1 - np.exp(-5 * time)) + np.array([0, -0.5]) * time**2
        return Trajectory(positions.astype(np.float32), np.full(20, 5, dtype=np.int32), np.array([0, -1.0]))

    metadata = Metadata(Box((0, -0.5), (1, 1.5)), 0.01, 0.25, (0.0, -1.0), {"water": 5})
    parts = {s: [trajectory(10 * n + i) for i in range(2)] for n, s in enumerate(("train", "valid", "test"))}
    write_set(path, parts, metadata)
    return path

import numpy as np
import pytest
import torch

from molgraph.particles.data.trajectory import Metadata
from molgraph.particles.geometry.space import Box
from molgraph.particles.learning.windows import state_at
from molgraph.particles.models.simulator import Scale

torch.set_num_threads(1)


@pytest.fixture
def scale():
    spread, none = (0.01, 0.01), (0.0, 0.0)
    return Scale(2, 0.2, 3, (3, 5, 6), spread, (0.002, 0.002), none, none, 0.005)


@pytest.fixture
def metadata():
    return Metadata(Box((0, 0), (1, 1)), 0.01, 0.2, (0.0, -9.8), {"water": 5}, (3,))


@pytest.fixture
def make_state(scale, metadata):
    """States of random particles; ``box`` and ``inside`` (least distance to the walls) can be chosen."""

    def make(number=30, seed=0, box=None, inside=0.0, species=(5, 6), dtype=torch.float32):
        generator = np.random.default_rng(seed)
        dim = box.dim if box else 2
        start = generator.uniform(inside, 1 - inside, (number, 1, dim))
        steps = generator.normal(0, 0.003, (number, scale.history, dim))
        walk = np.concatenate([start, start + np.cumsum(steps, axis=1)], axis=1)
        types = generator.choice(species, number)
        gravity = np.array([0.0, -9.8, 0.0][:dim])
        positions = torch.from_numpy(walk).to(dtype)
        return state_at(positions, types, gravity, metadata, scale, box)

    return make


@pytest.fixture
def spoken():
    """Gives the decoders of an untrained simulator something to say: those of the conservative one start at zero."""

    def speak(simulator):
        for parameter in simulator.parameters():
            if not parameter.any() and parameter.ndim == 2:
                torch.nn.init.normal_(parameter, std=0.2)
        return simulator

    return speak

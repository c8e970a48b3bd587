import numpy as np
import pytest
import torch

from molgraph.particles.geometry.neighbors import radius_edges
from molgraph.particles.geometry.space import Box
from molgraph.particles.models.pairs import MOMENT, RADIAL, Pairs, edge_features, local_moments

RADIUS = 0.3


@pytest.fixture
def particles():
    generator = np.random.default_rng(0)
    return generator.random((25, 2)), generator.normal(size=(25, 2, 2))


@pytest.fixture
def pairs(particles):
    places, velocities = map(torch.from_numpy, particles)
    edges = radius_edges(places, RADIUS, Box.open(2))
    vector = (places[edges.src] - places[edges.dst]) / RADIUS
    return Pairs(edges, vector, velocities[edges.src] - velocities[edges.dst])


def test_local_moments_are_weighted_sums_over_the_neighbours(pairs, particles):
    places, velocities = particles
    expected = np.zeros((25, 1 + 2 * 2 + 2 * 4))
    for i in range(25):
        for j in range(25):
            x, v = (places[j] - places[i]) / RADIUS, velocities[j, -1] - velocities[i, -1]
            if i != j and x @ x < 1:
                expected[i] += (1 - x @ x) * np.array([1, *x, *np.outer(x, x).flat, *v, *np.outer(v, x).flat]) / MOMENT
    torch.testing.assert_close(local_moments(pairs), torch.from_numpy(expected))


def test_directions_are_a_unit_vector_and_the_relative_velocities(pairs):
    torch.testing.assert_close(pairs.directions[:, 0].norm(dim=1), torch.ones(len(pairs.vector), dtype=torch.float64))
    length = pairs.vector.norm(dim=1, keepdim=True)
    torch.testing.assert_close(pairs.directions[:, 0] * length, pairs.vector)
    assert torch.equal(pairs.directions[:, 1:], pairs.relative)


def test_a_bump_of_the_edge_features_is_one_where_its_distance_is(pairs):
    features = edge_features(pairs)
    assert features.shape == (len(pairs.vector), 2 + 1 + RADIAL + 2 * 2)
    length, bumps = features[:, 2], features[:, 3 : 3 + RADIAL]
    assert torch.equal(bumps.argmax(1), (length * (RADIAL - 1)).round().long())
    assert bumps.min() > 0 and bumps.max() <= 1

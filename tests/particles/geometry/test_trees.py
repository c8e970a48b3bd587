import numpy as np
import pytest

from molgraph.particles.geometry.space import Box
from molgraph.particles.geometry.trees import position_tree


@pytest.mark.parametrize("low", [0.0, -1.7, 1e6])
def test_a_point_a_rounding_error_below_the_bound_is_the_point_at_it(low):
    box = Box((low, 0.0), (low + 1.0, 1.0), (True, False))
    positions = np.array([[np.nextafter(low, -np.inf), 0.5], [low - 3e-17, 0.5], [low + 1.0, 0.5], [low + 0.999, 0.5]])
    pairs = position_tree(positions, box).query_pairs(0.01)
    assert len(pairs) == 6


def test_distances_are_those_of_the_minimum_image():
    box = Box((0.0, 0.0), (1.0, 1.0), (True, True))
    positions = np.random.default_rng(0).uniform(-2, 3, (60, 2))
    difference = positions[:, None] - positions[None]
    distance = np.linalg.norm(difference - np.round(difference), axis=2)
    expected = {(i, j) for i in range(60) for j in range(i + 1, 60) if distance[i, j] < 0.2}
    assert position_tree(positions, box).query_pairs(0.2) == expected

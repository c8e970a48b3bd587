import numpy as np
import pytest

from molgraph.particles.data.statistics import (
    Welford,
    mean_neighbors,
    motion_statistics,
    relative_motion,
    suggest,
    suggest_history,
)
from molgraph.particles.geometry.space import Box


def test_streaming_statistics_equal_numpy():
    generator = np.random.default_rng(0)
    pieces = [generator.normal(3, 2, size=(n, 3)) for n in (1, 50, 0, 7)]
    moments = Welford()
    for piece in pieces:
        moments.add(piece)
    together = np.concatenate(pieces)
    np.testing.assert_allclose(moments.mean, together.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.std, together.std(0), rtol=1e-12)


def test_a_particle_that_crosses_the_period_has_no_jump_in_velocity():
    box = Box((0, 0), (1, 1), (True, True))
    positions = (np.arange(30)[:, None, None] * np.array([0.07, -0.02]))[:, :, :] % 1.0
    statistics = motion_statistics([positions.reshape(30, 1, 2)], box)
    np.testing.assert_allclose(statistics["vel_mean"], [0.07, -0.02], rtol=1e-6)
    np.testing.assert_allclose(statistics["acc_std"], 0, atol=1e-12)


@pytest.mark.parametrize("periodic", [(True, True), (False, False)])
def test_the_relative_motion_is_that_of_all_pairs_within_the_radius(periodic):
    generator = np.random.default_rng(0)
    start, moved = generator.random((30, 2)), generator.normal(0, 0.01, (30, 2))
    box = Box((0, 0), (1, 1), periodic)
    after = (start + moved) % 1 if any(periodic) else start + moved
    apart = after[:, None] - after
    apart -= np.round(apart) * np.array(periodic)
    near = (np.linalg.norm(apart, axis=-1) < 0.2) & ~np.eye(30, dtype=bool)
    expected = np.sqrt(np.square(moved[:, None] - moved)[near].mean())
    assert relative_motion([np.stack([start, after])], 0.2, box) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("periodic", [(True, True), (False, False)])
def test_the_suggested_radius_has_about_twenty_neighbours(periodic):
    generator = np.random.default_rng(1)
    start = generator.random((400, 2))
    trajectory = start + np.cumsum(generator.normal(0, 1e-4, size=(20, 400, 2)), axis=0)
    box = Box((0, 0), (1, 1), periodic)
    suggestion = suggest([trajectory], box)
    assert suggestion.neighbors == pytest.approx(20, abs=0.5)
    assert mean_neighbors(trajectory[0], suggestion.radius, box) == pytest.approx(20, abs=1)
    assert suggestion.noise == pytest.approx(0.5e-4, rel=0.1)
    assert "neighbours" in str(suggestion)


def test_the_suggested_history_is_what_the_motion_needs():
    time = np.arange(60.0)[:, None, None]
    phase = np.random.default_rng(0).random((1, 40, 2)) * 6
    assert suggest_history([np.exp(-0.1 * time) * phase]) == 1
    assert suggest_history([np.sin(0.5 * time + phase)]) == 2

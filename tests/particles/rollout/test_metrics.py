import numpy as np
import pytest
import torch

from molgraph.particles.geometry.space import Box
from molgraph.particles.rollout.metrics import (
    escaped,
    horizon_errors,
    kinetic_energy,
    mean_density,
    mean_squared_displacement,
    momentum_drift,
    radial_distribution,
    sliced_wasserstein,
    squared_errors,
    time_to_failure,
)

WALLS, PERIODIC = Box((0, 0), (1, 1)), Box((0, 0), (1, 1), (True, True))


def test_errors_take_the_short_way_across_a_period():
    a, b = np.full((3, 4, 2), 0.01), np.full((3, 4, 2), 0.99)
    np.testing.assert_allclose(squared_errors(a, b, PERIODIC), 2 * 0.02**2)
    np.testing.assert_allclose(squared_errors(a, b, WALLS), 2 * 0.98**2)
    assert horizon_errors(np.arange(1.0, 31.0)) == {
        "mse_1": 1,
        "mse_5": 5,
        "mse_20": 20,
        "mse_all": 15.5,
        "mse_last": 30,
    }


def test_the_wasserstein_distance_ignores_order_and_measures_a_shift():
    cloud = np.random.default_rng(0).random((200, 2)) * 0.5
    assert sliced_wasserstein(cloud, cloud[::-1], WALLS) == 0
    # a shift s along any direction u costs (s u)^2, on average s^2 / 2 in the plane
    assert sliced_wasserstein(cloud + np.array([0.1, 0]), cloud, WALLS) == pytest.approx(0.1 / 2**0.5, rel=0.15)


def test_energy_and_displacement_of_uniform_motion():
    frames = (np.arange(20)[:, None, None] * np.array([0.3, 0.4]) + np.random.default_rng(0).random((1, 9, 2))) % 1
    np.testing.assert_allclose(kinetic_energy(frames, PERIODIC), 0.125)
    np.testing.assert_allclose(mean_squared_displacement(frames, PERIODIC), 0.25 * np.arange(20) ** 2, atol=1e-12)


def test_free_fall_has_no_momentum_drift_and_a_push_has():
    time, gravity = np.arange(10.0)[:, None, None], np.array([0.0, -1e-3])
    start = np.random.default_rng(0).uniform(0.4, 0.6, (1, 20, 2))
    fall = start + 0.5 * time**2 * gravity
    assert momentum_drift(fall, gravity, WALLS, 0.1) < 1e-9
    assert momentum_drift(start + 0.6 * time**2 * gravity, gravity, WALLS, 0.1) == pytest.approx(0.2, rel=1e-6)
    assert np.isnan(momentum_drift(fall, gravity, WALLS, 0.5))
    # a body that flies into the wall within the next frame may stop there
    fast = np.concatenate([start, start - [0, 0.4], start - [0, 0.4], start - [0, 0.4]])
    assert momentum_drift(fast, np.zeros(2), Box((0, -0.2), (1, 1)), 0.15) == 0
    assert momentum_drift(fast, np.zeros(2), Box((0, -1), (1, 1)), 0.15) > 0
    still = np.broadcast_to(start, fall.shape)
    assert momentum_drift(still, np.zeros(2), WALLS, 0.1) == 0


def test_density_counts_neighbours_like_brute_force():
    positions = np.random.default_rng(0).random((60, 2))
    r = PERIODIC.displacement(*(torch.from_numpy(positions)[s] for s in (np.s_[:, None], np.s_[None]))).norm(dim=-1)
    expected = (1 - (r / 0.2).square()).clamp(min=0).pow(3).sum(1).mean()
    assert mean_density(positions, 0.2, PERIODIC) == pytest.approx(float(expected))


def test_failures_are_found_in_the_first_bad_frame():
    truth = np.random.default_rng(0).uniform(0.4, 0.6, (1, 10, 2)) + np.arange(12)[:, None, None] * 0.005
    assert time_to_failure(truth, truth, WALLS, 0.1) == 12
    for spoil, frame in ((np.nan, 7), (1.2, 5)):
        bad = truth.copy()
        bad[frame, 3] = spoil
        assert time_to_failure(bad, truth, WALLS, 0.1) == frame
    shaken = truth.copy()
    shaken[4] += np.random.default_rng(1).normal(0, 0.2, (10, 2)).clip(-0.3, 0.3)
    assert time_to_failure(shaken, truth, WALLS, 0.1) == 4
    out = truth.copy()
    out[-1, :5, 1] = -0.01
    assert escaped(out, WALLS)[-1] == 0.5 and escaped(truth, WALLS).max() == 0


@pytest.mark.parametrize("dim", [2, 3])
def test_the_radial_distribution_of_an_ideal_gas_is_one(dim):
    frames = np.random.default_rng(0).random((20, 300, dim))
    r, g = radial_distribution(frames, Box((0,) * dim, (1,) * dim, (True,) * dim), bins=10)
    assert np.abs(g[2:] - 1).max() < 0.1 and r[-1] < 0.5
    with pytest.raises(ValueError, match="periodic"):
        radial_distribution(frames, Box((0,) * dim, (1,) * dim))

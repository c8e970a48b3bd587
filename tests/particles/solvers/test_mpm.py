import numpy as np
import pytest

from molgraph.particles.geometry.space import Box
from molgraph.particles.solvers.scenes import BlockScenes, Obstacle, Scene

pytest.importorskip("warp")
from molgraph.particles.solvers.mpm import MpmConfig, MpmSolver

SQUARE = Box((0, 0), (1, 1))


def block(center, half, spacing, material, velocity=(0.0, 0.0), gravity=(0.0, -9.81), box=SQUARE, obstacles=()):
    points = Obstacle(center, half).fill(spacing)
    velocities = np.tile(np.array(velocity, dtype=float), (len(points), 1))
    return Scene(box, points, velocities, np.full(len(points), material), np.array(gravity), obstacles)


@pytest.mark.parametrize("material", ["water", "sand", "goop"])
def test_a_block_in_the_air_falls_freely_and_keeps_its_momentum(material):
    scene = block((0.5, 0.7), (0.1, 0.1), 0.02, material, (0.3, 0.5))
    solver = MpmSolver(scene, MpmConfig(spacing=0.02))
    positions = solver.advance(0.1)
    expected = scene.positions.mean(0) + 0.1 * np.array([0.3, 0.5]) + 0.5 * 0.1**2 * scene.gravity
    np.testing.assert_allclose(positions.mean(0), expected, atol=2e-4)
    np.testing.assert_allclose(solver.velocities().mean(0), [0.3, 0.5 - 0.981], atol=1e-4)
    np.testing.assert_allclose(positions - positions.mean(0), scene.positions - scene.positions.mean(0), atol=2e-4)


def test_two_colliding_blocks_keep_the_momentum_of_both():
    left, right = (block((x, 0.5), (0.1, 0.1), 0.02, "goop", (v, 0), (0, 0)) for x, v in ((0.35, 1.0), (0.6, -0.5)))
    parts = [
        np.concatenate([getattr(s, name) for s in (left, right)]) for name in ("positions", "velocities", "species")
    ]
    solver = MpmSolver(Scene(SQUARE, *parts, np.zeros(2)), MpmConfig(spacing=0.02, goop_sound_speed=5))
    solver.advance(0.1)
    after = solver.velocities()
    np.testing.assert_allclose(after.sum(0), parts[1].sum(0), atol=1e-3)
    assert after[: len(left.positions), 0].mean() < 0.6, "they did collide"


def test_still_water_carries_its_weight():
    box = Box((0, 0), (0.4, 1))
    scene = block((0.2, 0.201), (0.198, 0.2), 0.02, "water", box=box)
    solver = MpmSolver(scene, MpmConfig(spacing=0.02, viscosity=20.0, damping=0.5))
    for _ in range(10):
        positions = solver.advance(0.1)
    depth = positions[:, 1].max() - positions[:, 1]
    inside = (depth > 0.06) & (positions[:, 1] > 0.05)
    slope = np.polyfit(depth[inside], solver.pressures()[inside], 1)[0]
    assert slope == pytest.approx(1000 * 9.81, rel=0.15)


def test_sand_makes_a_heap_that_is_steeper_with_more_friction_and_water_makes_none():
    heights = {}
    for name, angle in (("sand", 40.0), ("sand", 15.0), ("water", 0.0)):
        scene = block((0.5, 0.165), (0.075, 0.15), 0.015, name)
        solver = MpmSolver(scene, MpmConfig(spacing=0.015, friction_angle=angle, wall_friction=0.6))
        positions = solver.advance(1.5)
        heights[name, angle] = positions[:, 1].max()
        if angle == 40.0:
            slope = np.degrees(np.arctan(np.ptp(positions[:, 1]) / (np.ptp(positions[:, 0]) / 2)))
            assert 15 < slope < 42, "angle of repose"
            assert np.abs(solver.velocities()).max() < 0.1, "a heap comes to rest"
    assert heights["sand", 40.0] > 1.2 * heights["sand", 15.0]


def test_goop_comes_back_to_its_shape():
    scene = block((0.5, 0.2), (0.1, 0.1), 0.02, "goop", (0, -1.0))
    solver = MpmSolver(scene, MpmConfig(spacing=0.02, goop_sound_speed=6.0))
    heights = [np.ptp(solver.advance(0.02)[:, 1]) for _ in range(60)]
    assert min(heights) < 0.16 and heights[-1] > 0.17


def test_nothing_passes_walls_or_obstacles():
    ramp = Obstacle((0.5, 0.3), (0.25, 0.04), 25.0)
    scene = block((0.5, 0.7), (0.15, 0.1), 0.02, "water", (0, -2.0), obstacles=(ramp,))
    solver = MpmSolver(scene, MpmConfig(spacing=0.02))
    for _ in range(50):
        positions = solver.advance(0.02)
        assert (positions >= 0).all() and (positions <= 1).all()
        assert ramp.distance(positions)[0].min() > -0.03
    assert (positions[:, 1] < 0.2).mean() > 0.8, "it ran off the ramp"


def test_three_dimensions_fall_like_two():
    box = Box((0, 0, 0), (1, 1, 1))
    scene = block((0.5, 0.7, 0.5), (0.08,) * 3, 0.04, "sand", (0.1, 0.0, -0.1), (0, -9.81, 0), box)
    solver = MpmSolver(scene, MpmConfig(spacing=0.04))
    positions = solver.advance(0.1)
    expected = scene.positions.mean(0) + 0.1 * np.array([0.1, 0, -0.1]) + 0.005 * scene.gravity
    np.testing.assert_allclose(positions.mean(0), expected, atol=5e-4)


def test_the_same_seed_gives_the_same_trajectory_and_another_seed_another():
    scenes = BlockScenes([[0, 1], [0, 1]], ("water", "goop"), (2, 2), (0.2, 0.3), ramps=1)
    first, again, other = (MpmSolver(scenes.draw(s, 0.03), MpmConfig(spacing=0.03)).advance(0.1) for s in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.allclose(first, other)


def test_a_periodic_box_is_refused():
    scene = block((0.5, 0.7), (0.1, 0.1), 0.05, "water", box=Box((0, 0), (1, 1), (True, False)))
    with pytest.raises(ValueError, match="walls on all axes"):
        MpmSolver(scene, MpmConfig())

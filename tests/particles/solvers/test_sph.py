import numpy as np
import pytest

from molgraph.particles.geometry.space import Box
from molgraph.particles.solvers.flow_scenes import DamBreakScenes, TaylorGreenScenes
from molgraph.particles.solvers.scenes import Scene

pytest.importorskip("warp")
from molgraph.particles.solvers.sph import SphConfig, SphSolver, _spline_norm


@pytest.mark.parametrize(("dim", "factor"), [(2, 7 / (478 * np.pi)), (3, 1 / (120 * np.pi))])
def test_the_kernel_integrates_to_one(dim, factor):
    assert _spline_norm(0.3, dim) == pytest.approx(factor / 0.3**dim, rel=1e-5)


def test_the_taylor_green_vortex_decays_at_the_analytic_rate_and_keeps_momentum():
    scene = TaylorGreenScenes(2, speed=(1.0, 1.0), jitter=0.05).draw(0, 0.04)
    viscosity, time = 0.02, 0.3
    solver = SphSolver(scene, SphConfig(spacing=0.04, viscosity=viscosity))
    before = solver.velocities().astype(float)
    solver.advance(time)
    after = solver.velocities().astype(float)
    rate = -np.log((after**2).sum() / (before**2).sum()) / time
    assert rate == pytest.approx(4 * viscosity * (2 * np.pi) ** 2, rel=0.1)
    assert np.abs(after.mean(0) - before.mean(0)).max() < 1e-5
    positions = solver.advance(0.01)
    assert (positions >= 0).all() and (positions <= 1).all()


def test_three_dimensional_vortices_decay_at_their_rate():
    scene = TaylorGreenScenes(3, speed=(1.0, 1.0), jitter=0.05).draw(0, 0.1)
    solver = SphSolver(scene, SphConfig(spacing=0.1, viscosity=0.1))
    before = (solver.velocities().astype(float) ** 2).sum()
    solver.advance(0.05)
    rate = -np.log((solver.velocities().astype(float) ** 2).sum() / before) / 0.05
    assert rate == pytest.approx(6 * 0.1 * (2 * np.pi) ** 2, rel=0.15)


def test_free_fall_in_a_periodic_box_is_exact():
    lattice = TaylorGreenScenes(2).draw(0, 0.1)
    still = np.zeros_like(lattice.velocities)
    scene = Scene(lattice.box, lattice.positions, still, lattice.species, np.array([0.0, -2.0]))
    solver = SphSolver(scene, SphConfig(spacing=0.1))
    solver.advance(0.1)
    np.testing.assert_allclose(solver.velocities().mean(0), [0, -0.2], atol=1e-4)


def test_water_at_rest_in_a_tank_stays_and_carries_its_weight():
    scene = DamBreakScenes((0.4, 0.6), width=(1.0, 1.0), height=(0.6, 0.6)).draw(0, 0.02)
    config = SphConfig(0.02, 1000.0, 30.0, 0.0, 0.3, free_surface=True)
    solver, water = SphSolver(scene, config), scene.species == "water"
    for _ in range(10):
        positions = solver.advance(0.05)
    depth = positions[water, 1].max() - positions[water, 1]
    inside = (depth > 0.06) & (depth < 0.3)
    slope = np.polyfit(depth[inside], solver.pressures()[water][inside], 1)[0]
    assert slope == pytest.approx(1000 * 9.81, rel=0.15)
    assert depth.max() == pytest.approx(0.34, abs=0.05)


def test_a_breaking_dam_runs_to_the_far_wall_and_stays_in_the_tank():
    scene = DamBreakScenes((1.0, 0.5), width=(0.3, 0.3), height=(0.6, 0.6)).draw(0, 0.03)
    solver, water = (
        SphSolver(scene, SphConfig(0.03, 1000.0, 25.0, 0.0, 0.1, free_surface=True)),
        scene.species == "water",
    )
    fronts = []
    for _ in range(20):
        positions = solver.advance(0.04)
        fronts.append(positions[water, 0].max())
        assert positions[water].min() > -0.02 and positions[water, 0].max() < 1.02
    assert fronts[-1] > 0.95 and fronts[3] < 0.8
    np.testing.assert_allclose(positions[~water], scene.positions[~water], atol=1e-6)


def test_tiny_periods_count_no_neighbour_twice():
    lattice = TaylorGreenScenes(2, length=0.5, jitter=0.0).draw(0, 0.1)
    scene = Scene(
        Box((0, 0), (0.5, 0.5), (True, True)), lattice.positions, lattice.velocities * 0, lattice.species, np.zeros(2)
    )
    solver = SphSolver(scene, SphConfig(spacing=0.1))
    solver.advance(1e-4)
    distance = scene.box.displacement
    import torch

    places = torch.from_numpy(scene.positions)
    r = distance(places[:, None], places[None]).norm(dim=-1).numpy() / 0.1
    shape = sum(w * np.maximum(n - r, 0) ** 5 for w, n in ((1, 3), (-6, 2), (15, 1)))
    expected = shape.sum(1) * _spline_norm(0.1, 2) * 0.1**2
    np.testing.assert_allclose(solver._particles.densities.numpy(), expected, rtol=1e-3)

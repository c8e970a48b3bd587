import numpy as np
import pytest

from molgraph.particles.solvers.md import CrystalScenes, MdConfig


@pytest.mark.parametrize(
    ("element", "lattice", "potential", "timestep"), [("Ar", 5.4, "lennard-jones", 4.0), ("Cu", 3.65, "emt", 2.0)]
)
def test_energy_drifts_little_and_momentum_stays_zero(element, lattice, potential, timestep):
    scene = CrystalScenes(element, lattice, 2, 80.0).draw(0, 0.0)
    solver = MdConfig(potential, timestep, equilibration=20 * timestep, temperature=60.0).start(scene, seed=1)
    energies = []
    for _ in range(20):
        solver.advance(2 * timestep)
        energies.append(solver.energy())
    thermal = solver.atoms.get_kinetic_energy()
    assert np.ptp(energies) < 0.01 * thermal
    assert np.abs(solver.velocities().mean(0)).max() < 1e-10


def test_the_same_seed_gives_the_same_atoms():
    start = [MdConfig(equilibration=50.0).start(CrystalScenes(cells=2).draw(3, 0.0), seed=3) for _ in range(2)]
    np.testing.assert_array_equal(start[0].advance(20.0), start[1].advance(20.0))


def test_an_unknown_potential_is_named():
    with pytest.raises(ValueError, match="'morse'"):
        MdConfig(potential="morse").start(CrystalScenes(cells=2).draw(0, 0.0))

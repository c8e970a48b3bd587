import numpy as np
import pytest
import torch
from ase import units
from ase.build import bulk
from ase.io import read
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from molgraph.particles.data.trajectory import Metadata
from molgraph.particles.geometry.space import Box
from molgraph.particles.models.conservative import ConservativeSimulator
from molgraph.particles.models.simulator import Scale
from molgraph.particles.rollout.dynamics import LearnedDynamics
from molgraph.particles.rollout.evaluation import FreeFlight

SCALE = Scale(3, 4.5, 3, (18,), (0.05,) * 3, (0.005,) * 3, (0.0,) * 3, (0.0,) * 3, 0.07)
METADATA = Metadata(Box((0, 0, 0), (10, 10, 10), (True,) * 3), 20.0, 4.5, (0.0,) * 3)


def argon():
    atoms = bulk("Ar", "fcc", a=5.4, cubic=True).repeat(2)
    MaxwellBoltzmannDistribution(atoms, temperature_K=80, rng=np.random.default_rng(0))
    return atoms


def test_without_forces_atoms_fly_straight_at_their_velocity():
    atoms = argon()
    start, velocity = atoms.get_positions(), atoms.get_velocities()
    LearnedDynamics(atoms, FreeFlight(SCALE), METADATA).run(5)
    np.testing.assert_allclose(atoms.get_positions(), start + velocity * 100 * units.fs, atol=1e-5)
    np.testing.assert_allclose(atoms.get_velocities(), velocity, atol=1e-5)


def test_observers_and_trajectories_work_as_in_any_dynamics_of_ase(tmp_path, spoken):
    torch.manual_seed(0)
    atoms, seen = argon(), []
    path = str(tmp_path / "md.traj")
    simulator = spoken(ConservativeSimulator(SCALE, 8, 1))
    dynamics = LearnedDynamics(atoms, simulator, METADATA, trajectory=path)
    dynamics.attach(lambda: seen.append(dynamics.get_number_of_steps()), interval=2)
    dynamics.run(4)
    dynamics.run(2)
    assert dynamics.get_number_of_steps() == 6 and seen == [0, 2, 4, 6]
    frames = read(path, index=":")
    assert len(frames) == 7
    np.testing.assert_allclose(frames[-1].positions, atoms.positions)
    assert np.abs(atoms.get_momenta().sum(0) - frames[0].get_momenta().sum(0)).max() < 1e-3


def test_an_element_that_the_model_does_not_know_is_named():
    with pytest.raises(ValueError, match="type 29"):
        LearnedDynamics(bulk("Cu", cubic=True), FreeFlight(SCALE), METADATA)

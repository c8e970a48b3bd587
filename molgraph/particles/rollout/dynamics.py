"""A learned simulator in ASE's dress: ``run``, ``attach``, log and trajectory, with the history kept inside.

Atoms, simulator -> LearnedDynamics -> run(steps)
"""

from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.md.md import MolecularDynamics

from molgraph.particles.data.formats import box_of_atoms
from molgraph.particles.data.trajectory import Metadata
from molgraph.particles.models.simulator import Simulator
from molgraph.particles.models.state import ParticleState
from molgraph.particles.rollout.rollout import ballistic_past


class LearnedDynamics(MolecularDynamics):
    """Molecular dynamics whose integrator is a learned simulator.

    The simulator gives positions, not energies or forces, so it is a dynamics and not a ``Calculator``: relaxations and
    nudged bands would call a calculator with positions that have no past. One step is one frame of the training data.

    Args:
        atoms: the start; positions in A, velocities as ASE has them.
        simulator: a model trained on A and fs.
        metadata: of its training data; ``dt`` is the time of a frame in fs.
        trajectory: file name or ASE trajectory to write.
        logfile: file name or stream for the log of energies; ``None`` for no log.
        loginterval: steps between two entries.

    Raises:
        ValueError: an element that the model has not seen, or a cell that is not orthogonal.
    """

    def __init__(
        self,
        atoms: Atoms,
        simulator: Simulator,
        metadata: Metadata,
        trajectory: Any = None,
        logfile: Any = None,
        loginterval: int = 1,
    ) -> None:
        self.simulator = simulator.eval()
        self.metadata = metadata
        self._state = state_of_atoms(atoms, simulator, metadata)
        timestep = metadata.dt * units.fs
        super().__init__(atoms, timestep, trajectory=trajectory, logfile=logfile, loginterval=loginterval)

    def step(self, forces: None = None) -> None:
        """Advance the atoms by one frame; ``forces`` is there because ASE passes it."""
        with torch.no_grad():
            self._state = self._state.advanced(self.simulator(self._state))
        velocity = self._state.velocities[:, -1].cpu().numpy()
        self.atoms.set_positions(self.atoms.positions + velocity, apply_constraint=False)
        self.atoms.set_velocities(velocity / (self.metadata.dt * units.fs))

    def irun(self, steps: int = 50) -> Any:
        """Yield after every step, ASE's way, but without asking for forces."""
        self.max_steps = self.nsteps + steps
        if self.nsteps == 0:
            self.call_observers()
        while self.nsteps < self.max_steps:
            self.step()
            self.nsteps += 1
            self.call_observers()
            yield self.nsteps >= self.max_steps

    def run(self, steps: int = 50) -> bool:
        """Advance ``steps`` frames."""
        for _ in self.irun(steps):
            pass
        return True


def state_of_atoms(atoms: Atoms, simulator: Simulator, metadata: Metadata) -> ParticleState:
    """Return the state of atoms whose past is straight flight with their velocities."""
    from molgraph.particles.learning.windows import state_at

    box, none = box_of_atoms(atoms), np.zeros(3)
    moved = atoms.get_velocities() * metadata.dt * units.fs
    past = torch.from_numpy(ballistic_past(atoms.positions, moved, none, simulator.scale.history))
    return state_at(box.wrap(past), atoms.numbers, none, metadata, simulator.scale, box)

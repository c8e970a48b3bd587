"""Molecular dynamics with ASE: Lennard-Jones argon and embedded-atom metals in a periodic box, constant energy.

crystal -> Langevin equilibration -> velocity Verlet -> positions
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from molgraph.particles.geometry.space import Box
from molgraph.particles.solvers.scenes import Scene

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator


@dataclass(frozen=True)
class CrystalScenes:
    """A crystal with random velocities; time and disorder come from the equilibration.

    Args:
        element: chemical symbol.
        lattice: edge of the cubic (fcc) unit cell in A.
        cells: unit cells along each axis; four atoms each.
        temperature: of the velocities in K; half of it goes into the lattice.
    """

    element: str = "Ar"
    lattice: float = 5.74
    cells: int = 3
    temperature: float = 180.0

    def draw(self, seed: int, spacing: float) -> Scene:
        """Return the scene of ``seed``; the lattice sets the distances and ``spacing`` is not used."""
        from ase.build import bulk
        from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary

        atoms = bulk(self.element, "fcc", a=self.lattice, cubic=True).repeat(self.cells)
        MaxwellBoltzmannDistribution(atoms, temperature_K=self.temperature, rng=np.random.default_rng(seed))
        Stationary(atoms)
        edge = float(self.lattice * self.cells)
        species = np.array(atoms.get_chemical_symbols())
        velocities = atoms.get_velocities() * _per_femtosecond()
        return Scene(Box((0, 0, 0), (edge,) * 3, (True,) * 3), atoms.positions, velocities, species, np.zeros(3))


@dataclass(frozen=True)
class MdConfig:
    """Constants of molecular dynamics; A, fs, eV, K."""

    potential: str = "lennard-jones"
    """``lennard-jones`` (argon) or ``emt`` (Al, Cu, Ag, Au, Ni, Pd, Pt)."""
    timestep: float = 5.0
    """Step of velocity Verlet in fs."""
    equilibration: float = 5000.0
    """Langevin dynamics before the first frame in fs."""
    temperature: float = 95.0
    """Temperature of the equilibration in K."""
    epsilon: float = 0.0103
    """Depth of the Lennard-Jones potential in eV."""
    sigma: float = 3.4
    """Diameter of the Lennard-Jones potential in A."""
    spacing: float = 3.8
    """Distance of neighbours in A, where something asks for a length."""

    def start(self, scene: Scene, device: str = "cpu", seed: int = 0) -> "MdSolver":
        """Return a solver for one scene; ASE runs on the CPU."""
        return MdSolver(scene, self, seed)

    def calculator(self, box: Box) -> "Calculator":
        """Return the ASE calculator.

        Raises:
            ValueError: an unknown potential.
        """
        if self.potential == "lennard-jones":
            from ase.calculators.lj import LennardJones

            cutoff = min(2.5 * self.sigma, 0.49 * min(box.lengths))
            return LennardJones(sigma=self.sigma, epsilon=self.epsilon, rc=cutoff, ro=0.8 * cutoff, smooth=True)
        if self.potential == "emt":
            from ase.calculators.emt import EMT

            return EMT()
        raise ValueError(f"potential {self.potential!r} is neither 'lennard-jones' nor 'emt'")


@dataclass
class MdSolver:
    """Advances one scene with ASE's velocity Verlet, after an equilibration.

    Args:
        scene: positions in A, velocities in A/fs, chemical symbols.
        config: constants.
        seed: of the Langevin noise.
    """

    scene: Scene
    config: MdConfig
    seed: int = 0
    steps: int = field(default=0, init=False)
    """Steps of velocity Verlet done."""

    def __post_init__(self) -> None:
        from ase import units
        from ase.md.langevin import Langevin
        from ase.md.velocitydistribution import Stationary
        from ase.md.verlet import VelocityVerlet

        self.moving = np.ones(len(self.scene.positions), dtype=bool)
        self.atoms = _atoms(self.scene)
        self.atoms.calc = self.config.calculator(self.scene.box)
        if self.config.equilibration > 0:
            step, generator = self.config.timestep * units.fs, np.random.default_rng(self.seed)
            friction, temperature = 0.02 / units.fs, self.config.temperature
            # with a free centre of mass, as ASE advises: fixing it bends the distribution; it is stopped afterwards
            langevin = Langevin(
                self.atoms, step, temperature_K=temperature, friction=friction, fixcm=False, rng=generator
            )
            langevin.run(round(self.config.equilibration / self.config.timestep))
            Stationary(self.atoms)
        self._dynamics = VelocityVerlet(self.atoms, self.config.timestep * units.fs)

    def advance(self, duration: float) -> np.ndarray:
        """Integrate ``duration`` fs; returns positions ``[N, 3]`` in A, wrapped into the box."""
        steps = max(1, round(duration / self.config.timestep))
        self._dynamics.run(steps)
        self.steps += steps
        return self.atoms.get_positions(wrap=True)

    def velocities(self) -> np.ndarray:
        """Return the velocities ``[N, 3]`` in A/fs."""
        return self.atoms.get_velocities() * _per_femtosecond()

    def energy(self) -> float:
        """Return the total energy in eV."""
        return self.atoms.get_total_energy()


def _atoms(scene: Scene) -> "Atoms":
    from ase import Atoms

    atoms = Atoms(scene.species.tolist(), positions=scene.positions, cell=scene.box.lengths, pbc=scene.box.periodic)
    atoms.set_velocities(scene.velocities / _per_femtosecond())
    return atoms


def _per_femtosecond() -> float:
    """Return ASE's velocities are in A per its own unit of time; this factor gives A/fs."""
    from ase import units

    return units.fs

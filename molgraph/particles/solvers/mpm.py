"""The moving-least-squares material point method: water, sand and goop in two and three dimensions.

scene -> MpmSolver -> advance(frame) -> positions
"""

import math
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from molgraph.particles.solvers.kernels import load
from molgraph.particles.solvers.scenes import Scene

MATERIALS = ("water", "sand", "goop")


@dataclass(frozen=True)
class MpmConfig:
    """Constants of the material point solver, SI units."""

    spacing: float = 0.0125
    """Distance of particles at rest in m; the grid is twice as coarse."""
    density: float = 1000.0
    """Density at rest in kg/m3."""
    sound_speed: float = 25.0
    """Speed of sound in m/s, of all materials; ten times the largest speed keeps the change of density near 1 %."""
    viscosity: float = 0.0
    """Dynamic viscosity of water in Pa s."""
    damping: float = 0.2
    """Bulk viscosity of water over density * sound speed * grid cell: sound dies out, flow does not notice."""
    poisson: float = 0.3
    """Poisson ratio of sand and goop."""
    goop_sound_speed: float = 8.0
    """Speed of sound of goop in m/s: how stiff it is."""
    friction_angle: float = 35.0
    """Internal friction angle of sand in degrees."""
    wall_friction: float = 0.0
    """Coulomb coefficient at walls and obstacles."""
    courant: float = 0.3
    """Largest distance, in grid cells, that sound travels in a step."""

    def start(self, scene: Scene, device: str = "cpu", seed: int = 0) -> "MpmSolver":
        """Return a solver for one scene."""
        return MpmSolver(scene, self, device)


@dataclass
class MpmSolver:
    """Advances one scene.

    Args:
        scene: where the particles start; particles of a kind not in ``MATERIALS`` are obstacles and stay.
        config: constants.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        ValueError: a periodic box, or a material that is unknown.
    """

    scene: Scene
    config: MpmConfig
    device: str = "cpu"
    steps: int = field(default=0, init=False)
    """Steps done."""

    def __post_init__(self) -> None:
        self._kernels = load("mpm_kernels")
        import warp as wp

        box, config = self.scene.box, self.config
        if any(box.periodic) or not all(map(math.isfinite, box.lengths)):
            raise ValueError(
                f"the material point solver needs walls on all axes, got {box}; use SPH for a periodic box"
            )
        self.dx = 2 * config.spacing
        self._layers = 3 if box.dim == 3 else 1
        self._margin = 3 * self.dx  # nodes behind the walls, where the splines of particles at the wall reach
        self._origin = np.array([*box.lower, *([0.0] * (3 - box.dim))]) - self._margin
        self.moving = np.isin(self.scene.species, MATERIALS)
        self._allocate(wp)

    @property
    def dt(self) -> float:
        """Largest stable step in s."""
        fastest = math.sqrt(2 * np.abs(self.scene.gravity).max() * max(self.scene.box.lengths))
        start = np.linalg.norm(self.scene.velocities, axis=1).max(initial=0.0)
        sound = self.config.sound_speed * math.sqrt(4 / 3)  # shear stiffens the pressure wave
        return self.config.courant * self.dx / (sound + max(fastest, start))

    def advance(self, duration: float) -> np.ndarray:
        """Integrate ``duration`` seconds; returns all positions ``[N, D]``, those of obstacles unchanged.

        Raises:
            FloatingPointError: the solution is no longer finite.
        """
        steps = max(1, math.ceil(duration / self.dt - 1e-9))
        for _ in range(steps):
            self._step(duration / steps)
        self.steps += steps
        positions = self.scene.positions.copy()
        box = self.scene.box
        moved = (self._positions.numpy() + self._origin)[:, : box.dim]
        # the kernel clamps in single precision; shifted back, a particle at a wall may lie a rounding error behind it
        positions[self.moving] = np.where(np.isfinite(moved), np.clip(moved, box.lower, box.upper), moved)
        if not np.isfinite(positions).all():
            raise FloatingPointError(
                f"the material point solver diverged after {self.steps} steps; lower the courant number"
            )
        return positions

    def velocities(self) -> np.ndarray:
        """Return the velocities ``[N, D]`` in m/s; zero for obstacles."""
        velocities = np.zeros_like(self.scene.positions)
        velocities[self.moving] = self._velocities.numpy()[:, : self.scene.box.dim]
        return velocities

    def pressures(self) -> np.ndarray:
        """Return the pressure ``[M]`` of the moving particles in Pa; meaningful for water."""
        volume = self._deformations.numpy()[:, 0, 0]
        return self.config.density * self.config.sound_speed**2 * (1 - volume) * volume

    def _allocate(self, wp: ModuleType) -> None:
        scene, dim = self.scene, self.scene.box.dim
        number = int(self.moving.sum())
        positions = np.zeros((number, 3))
        positions[:, :dim] = scene.positions[self.moving]
        velocities = np.zeros((number, 3))
        velocities[:, :dim] = scene.velocities[self.moving]
        kinds = np.array([MATERIALS.index(s) for s in scene.species[self.moving]], dtype=np.int32)
        nodes = np.ceil((np.array(scene.box.lengths) + 2 * self._margin) / self.dx).astype(int) + 1
        self._shape = (*nodes, 1)[:3]

        def to_device(values: np.ndarray, dtype: Any) -> Any:
            return wp.array(values, dtype=dtype, device=self.device)

        self._positions = to_device(positions - self._origin, wp.vec3)
        self._velocities = to_device(velocities, wp.vec3)
        self._rates = wp.zeros(number, dtype=wp.mat33, device=self.device)
        self._deformations = to_device(np.tile(np.eye(3), (number, 1, 1)), wp.mat33)
        self._volumes = wp.zeros(number, dtype=float, device=self.device)
        self._kinds = to_device(kinds, int)
        self._materials = wp.array(self._constants(), dtype=self._kernels.Material, device=self.device)
        self._momentum = wp.zeros(self._shape, dtype=wp.vec3, device=self.device)
        self._mass = wp.zeros(self._shape, dtype=float, device=self.device)
        self._obstacle = to_device(self._obstacle_normals(), wp.vec3)

    def _constants(self) -> list[Any]:
        """Return elastic constants of each material: bulk modulus = density * sound speed squared."""
        c, constants = self.config, []
        sine = math.sin(math.radians(c.friction_angle))
        for name in MATERIALS:
            material = self._kernels.Material()
            speed = c.goop_sound_speed if name == "goop" else c.sound_speed
            material.density, material.viscosity = c.density, c.viscosity
            material.damping = c.damping * c.density * speed * self.dx
            material.bulk = c.density * speed**2
            material.mu = 1.5 * material.bulk * (1 - 2 * c.poisson) / (1 + c.poisson)
            material.lam = material.bulk - 2 / 3 * material.mu
            material.friction = math.sqrt(2 / 3) * 2 * sine / (3 - sine)
            constants.append(material)
        return constants

    def _obstacle_normals(self) -> np.ndarray:
        """Return outward normal at each node inside an obstacle ``[nx, ny, nz, 3]``, zero elsewhere."""
        dim = self.scene.box.dim
        axes = [np.arange(n) * self.dx for n in self._shape]
        nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) + self._origin
        normals = np.zeros_like(nodes)
        for obstacle in self.scene.obstacles:
            distance, normal = obstacle.distance(nodes[..., :dim])
            normals[distance < 0.25 * self.dx, :dim] = normal[distance < 0.25 * self.dx]
        return normals

    def _step(self, dt: float) -> None:
        import warp as wp

        box, kernels, device = self.scene.box, self._kernels, self.device
        flat = [0.0] * (3 - box.dim)
        far = [1e9] * (3 - box.dim)
        lower = wp.vec3(*(np.array([*box.lower, *flat]) - self._origin)[: box.dim], *[-f for f in far])
        upper = wp.vec3(*(np.array([*box.upper, *flat]) - self._origin)[: box.dim], *far)
        gravity = wp.vec3(*self.scene.gravity, *flat)
        volume = self.config.spacing**box.dim
        number, layers, dx = len(self._positions), self._layers, self.dx
        self._momentum.zero_()
        self._mass.zero_()
        particles = [self._positions, self._velocities, self._rates]
        scattered = [*particles, self._deformations, self._volumes, self._kinds, self._materials]
        wp.launch(
            kernels.to_grid, number, [*scattered, self._momentum, self._mass, layers, dx, dt, volume], device=device
        )
        solids = [self._obstacle, gravity, lower, upper, dx, dt, self.config.wall_friction]
        wp.launch(kernels.move_grid, self._shape, [self._momentum, self._mass, *solids], device=device)
        wp.launch(kernels.from_grid, number, [*particles, self._momentum, lower, upper, layers, dx, dt], device=device)

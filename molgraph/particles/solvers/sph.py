"""Weakly compressible smoothed particle hydrodynamics, periodic or with walls and a free surface, in 2D and 3D.

scene -> SphSolver -> advance(frame) -> positions
"""

import math
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from molgraph.particles.solvers.kernels import load
from molgraph.particles.solvers.scenes import Scene


@dataclass(frozen=True)
class SphConfig:
    """Constants of the SPH solver, SI units."""

    spacing: float = 0.02
    """Distance of particles at rest in m; also the smoothing length."""
    density: float = 1.0
    """Density at rest in kg/m3."""
    sound_speed: float = 10.0
    """Speed of sound in m/s: ten times the largest speed."""
    viscosity: float = 0.01
    """Kinematic viscosity in m2/s."""
    artificial_viscosity: float = 0.0
    """Monaghan's alpha; about 0.05 calms the splashes of a free surface."""
    free_surface: bool = False
    """Density from the continuity equation instead of a sum, and no transport velocity."""
    courant: float = 0.25
    """Largest distance, in smoothing lengths, that sound travels in a step."""

    def start(self, scene: Scene, device: str = "cpu", seed: int = 0) -> "SphSolver":
        """Return a solver for one scene."""
        return SphSolver(scene, self, device)


@dataclass
class SphSolver:
    """Advances one scene.

    Args:
        scene: where the particles start; those called ``"obstacle"`` are wall particles and stay.
        config: constants.
        device: ``"cpu"`` or ``"cuda"``.
    """

    scene: Scene
    config: SphConfig
    device: str = "cpu"
    steps: int = field(default=0, init=False)
    """Steps done."""

    def __post_init__(self) -> None:
        self._kernels = load("sph_kernels")
        import warp as wp

        self.moving = self.scene.species != "obstacle"
        self._allocate(wp)

    @property
    def dt(self) -> float:
        """Largest stable step in s (Morris et al. 1997, eqs. 23-25)."""
        c = self.config
        fall = math.sqrt(2 * np.abs(self.scene.gravity).max() * _extent(self.scene))
        fastest = max(fall, np.linalg.norm(self.scene.velocities, axis=1).max(initial=0.0))
        sound = c.courant * c.spacing / (c.sound_speed + fastest)
        viscous = 0.125 * c.spacing**2 / c.viscosity if c.viscosity else math.inf
        return min(sound, viscous)

    def advance(self, duration: float) -> np.ndarray:
        """Integrate ``duration`` seconds; returns all positions ``[N, D]``.

        Raises:
            FloatingPointError: the solution is no longer finite.
        """
        steps = max(1, math.ceil(duration / self.dt - 1e-9))
        for _ in range(steps):
            self._step(duration / steps)
        self.steps += steps
        positions = self._particles.positions.numpy()[:, : self.scene.box.dim].astype(np.float64)
        if not np.isfinite(positions).all():
            raise FloatingPointError(
                f"the SPH solver diverged after {self.steps} steps; raise sound_speed or lower courant"
            )
        return positions

    def velocities(self) -> np.ndarray:
        """Return the velocities ``[N, D]`` in m/s."""
        return self._particles.velocities.numpy()[:, : self.scene.box.dim]

    def pressures(self) -> np.ndarray:
        """Return the pressure ``[N]`` in Pa."""
        return self._particles.pressures.numpy()

    def _allocate(self, wp: ModuleType) -> None:
        number, dim, device = len(self.scene.positions), self.scene.box.dim, self.device

        def vectors(values: np.ndarray) -> Any:
            return wp.array(np.pad(values, ((0, 0), (0, 3 - dim))), dtype=wp.vec3, device=device)

        def zeros(size: int, dtype: Any) -> Any:
            return wp.zeros(size, dtype=dtype, device=device)

        at = self._particles = self._kernels.Particles()
        at.positions, at.velocities = vectors(self.scene.positions), vectors(self.scene.velocities)
        at.shifts, at.pushes, at.accelerations = (zeros(number, wp.vec3) for _ in range(3))
        at.solid = wp.array((~self.moving).astype(np.int32), dtype=int, device=device)
        at.densities = wp.array(self._still_densities(), dtype=float, device=device)
        at.old, at.pressures = wp.clone(at.densities), zeros(number, float)
        at.cells, at.order = zeros(number, int), zeros(number, int)
        self._fluid = self._constants(wp)
        cells = int(np.prod(self._fluid.counts))
        at.starts, at.ends = zeros(cells, int), zeros(cells, int)

    def _still_densities(self) -> np.ndarray:
        """Return densities ``[N]`` of fluid at rest: under a free surface each particle carries what is above it."""
        c, scene = self.config, self.scene
        if not c.free_surface:
            return np.full(len(scene.positions), c.density)
        height = scene.positions @ -scene.gravity
        depth = np.where(self.moving, height[self.moving].max() - height, 0.0)
        return c.density * (1 + depth / c.sound_speed**2)

    def _constants(self, wp: ModuleType) -> Any:
        c, box = self.config, self.scene.box
        fluid, support = self._kernels.Fluid(), 3 * self.config.spacing
        low, high = self.scene.positions.min(0), self.scene.positions.max(0)
        wraps = np.array(box.periodic)
        # outside of a period the cells need only cover where particles start: those beyond share the last cell
        reach = high - low + 1e-6
        lower = np.where(wraps, [b if p else 0.0 for b, p in zip(box.lower, wraps, strict=True)], low)
        length = np.where(wraps, [n if p else 0.0 for n, p in zip(box.lengths, wraps, strict=True)], reach)
        counts = np.maximum(np.floor(length / support), 1).astype(int)
        pad = 3 - box.dim
        fluid.h, fluid.norm = c.spacing, _spline_norm(c.spacing, box.dim)
        fluid.mass, fluid.density, fluid.sound = c.density * c.spacing**box.dim, c.density, c.sound_speed
        fluid.viscosity, fluid.artificial, fluid.diffusion = c.viscosity, 2 * c.artificial_viscosity, 0.1
        fluid.background = 0.0 if c.free_surface else c.density * c.sound_speed**2
        fluid.gravity = wp.vec3(*self.scene.gravity, *[0.0] * pad)
        fluid.period = wp.vec3(*np.where(wraps, length, 0.0), *[0.0] * pad)
        fluid.origin = wp.vec3(*lower, *[0.0] * pad)
        fluid.cell = wp.vec3(*np.maximum(length / counts, support if not wraps.all() else 0.0), *[1e9] * pad)
        fluid.counts = wp.vec3i(*[int(n) for n in counts], *[1] * pad)
        return fluid

    def _step(self, dt: float) -> None:
        import warp as wp

        at = self._particles
        at.ends.zero_()
        self._launch("count_cells", self._fluid)
        wp.utils.array_scan(at.ends, at.ends, inclusive=True)
        wp.copy(at.starts, at.ends)
        self._launch("fill_cells")
        if self.config.free_surface:
            wp.copy(at.old, at.densities)
            self._launch("advected_density", self._fluid, dt)
        else:
            self._launch("summed_density", self._fluid)
        if not self.moving.all():
            self._launch("wall_pressure", self._fluid)
        self._launch("forces", self._fluid)
        self._launch("advance", self._fluid, dt)

    def _launch(self, name: str, *arguments: Any) -> None:
        import warp as wp

        number = len(self.scene.positions)
        wp.launch(getattr(self._kernels, name), number, [self._particles, *arguments], device=self.device)


def _extent(scene: Scene) -> float:
    return float(np.ptp(scene.positions, axis=0).max())


def _spline_norm(h: float, dim: int) -> float:
    """Return the factor with which the quintic spline integrates to one."""
    q = np.linspace(0, 3, 4001)
    shape = sum(w * np.maximum(n - q, 0) ** 5 for w, n in ((1, 3), (-6, 2), (15, 1)))
    surface = 2 * math.pi * q if dim == 2 else 4 * math.pi * q**2
    return 1 / (float(np.trapezoid(shape * surface, q)) * h**dim)

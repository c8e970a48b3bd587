"""A solver of one's own: particles on springs to the middle of an open box, in exact steps."""

from dataclasses import dataclass

import numpy as np

from molgraph.particles.geometry.space import Box
from molgraph.particles.solvers.scenes import Scene


@dataclass(frozen=True)
class CloudScenes:
    """Random clouds of ``particles`` in a box of 4 by 4 around the origin."""

    particles: int = 12

    def draw(self, seed: int, spacing: float) -> Scene:
        generator = np.random.default_rng(seed)
        places = generator.uniform(-1, 1, (self.particles, 2))
        box = Box((-2.0, -2.0), (2.0, 2.0))
        return Scene(box, places, np.zeros_like(places), np.full(self.particles, "water"), np.zeros(2))


@dataclass(frozen=True)
class SpringConfig:
    """Constants of the springs."""

    frequency: float = 1.0
    spacing: float = 0.3

    def start(self, scene: Scene, device: str = "cpu", seed: int = 0) -> "SpringSolver":
        return SpringSolver(scene.positions.copy(), scene.velocities.copy(), self.frequency)


@dataclass
class SpringSolver:
    """Advances by the analytic solution ``x cos ωt + v/ω sin ωt``."""

    positions: np.ndarray
    velocities: np.ndarray
    frequency: float

    def advance(self, duration: float) -> np.ndarray:
        """Return the positions ``[N, D]`` after ``duration``."""
        c, s, w = np.cos(self.frequency * duration), np.sin(self.frequency * duration), self.frequency
        x, v = self.positions, self.velocities
        self.positions, self.velocities = x * c + v / w * s, v * c - w * x * s
        return self.positions

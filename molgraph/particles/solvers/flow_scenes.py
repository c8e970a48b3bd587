"""Where a flow starts: the Taylor-Green vortex in a periodic box, and a column of water behind a dam.

settings, seed -> Scene
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from molgraph.particles.geometry.space import Box
from molgraph.particles.solvers.scenes import Scene


@dataclass(frozen=True)
class TaylorGreenScenes:
    """Periodic vortices of random phase and strength (Taylor & Green 1937).

    Args:
        dim: 2 or 3.
        length: edge of the periodic box in m.
        speed: least and largest speed in m/s.
        jitter: displacement of particles from a lattice, in spacings.
    """

    dim: int = 2
    length: float = 1.0
    speed: Sequence[float] = (0.8, 1.2)
    jitter: float = 0.1

    def draw(self, seed: int, spacing: float) -> Scene:
        """Return the scene of ``seed`` with particles about ``spacing`` m apart."""
        generator = np.random.default_rng(seed)
        count = round(self.length / spacing)
        axis = (np.arange(count) + 0.5) * self.length / count
        lattice = np.stack(np.meshgrid(*[axis] * self.dim, indexing="ij"), -1).reshape(-1, self.dim)
        positions = lattice + generator.uniform(-self.jitter, self.jitter, lattice.shape) * spacing
        phase, speed = generator.uniform(0, 2 * np.pi, self.dim), generator.uniform(self.speed[0], self.speed[1])
        velocities = speed * vortex(2 * np.pi * positions / self.length + phase)
        box = Box((0.0,) * self.dim, (self.length,) * self.dim, (True,) * self.dim)
        species = np.full(len(positions), "water")
        return Scene(box, np.mod(positions, self.length), velocities, species, np.zeros(self.dim))


def vortex(angle: np.ndarray) -> np.ndarray:
    """Return Taylor-Green velocities ``[N, D]`` of speed 1 at phase angles ``[N, D]``."""
    x, y = angle[:, 0], angle[:, 1]
    plane = np.stack([np.sin(x) * np.cos(y), -np.cos(x) * np.sin(y)], axis=1)
    if angle.shape[1] == 2:
        return plane
    return np.concatenate([plane * np.cos(angle[:, 2:]), np.zeros((len(angle), 1))], axis=1)


@dataclass(frozen=True)
class DamBreakScenes:
    """A column of water of random width and height that collapses in a tank of wall particles.

    Args:
        tank: inner edge lengths of the tank in m.
        width: least and largest width of the column, as a fraction of the tank.
        height: least and largest height of the column, as a fraction of the tank.
        gravity: acceleration in m/s2.
        layers: layers of wall particles; three fill the support of the kernel.
    """

    tank: Sequence[float] = (2.0, 1.0)
    width: Sequence[float] = (0.2, 0.4)
    height: Sequence[float] = (0.4, 0.8)
    gravity: Sequence[float] = field(default=(0.0, -9.81))
    layers: int = 3

    def draw(self, seed: int, spacing: float) -> Scene:
        """Return the scene of ``seed`` with particles ``spacing`` m apart."""
        generator = np.random.default_rng(seed)
        tank = np.array(self.tank)
        fraction = np.ones(len(tank))
        fraction[0] = generator.uniform(self.width[0], self.width[1])
        fraction[1] = generator.uniform(self.height[0], self.height[1])
        inner = np.maximum(np.round(tank * fraction / spacing).astype(int), 1)
        water = _lattice(np.zeros(len(tank), dtype=int), inner, spacing)
        water = water + generator.uniform(-0.02, 0.02, water.shape) * spacing
        cells, pad = np.round(tank / spacing).astype(int), self.layers
        around = _lattice(-np.full(len(tank), pad), cells + pad, spacing)
        walls = around[((around < 0) | (around > cells * spacing)).any(1)]
        positions = np.concatenate([water, walls])
        species = np.array(["water"] * len(water) + ["obstacle"] * len(walls))
        edge = (pad + 0.5) * spacing
        box = Box(tuple(-edge for _ in tank), tuple(cells * spacing + edge))
        return Scene(box, positions, np.zeros_like(positions), species, np.array(self.gravity))


def _lattice(first: np.ndarray, last: np.ndarray, spacing: float) -> np.ndarray:
    axes = [(np.arange(a, b) + 0.5) * spacing for a, b in zip(first, last, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))

"""Where a simulation starts: blocks of material at random places, obstacles, and analytic initial states.

SceneConfig, seed -> Scene
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from molgraph.particles.geometry.space import Box


@dataclass(frozen=True)
class Obstacle:
    """A solid brick, turned about the third axis, that never moves."""

    center: tuple[float, ...]
    """Center in m."""
    half: tuple[float, ...]
    """Half of its edge lengths in m."""
    angle: float = 0.0
    """Rotation in the plane of the first two axes, in degrees."""

    def distance(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return signed distance ``[...]`` (negative inside) and outward normal ``[..., D]`` at ``points``."""
        turn = self._turn(points.shape[-1])
        local = (points - np.array(self.center)) @ turn
        gap = np.abs(local) - np.array(self.half)
        outside = np.maximum(gap, 0.0)
        length = np.linalg.norm(outside, axis=-1)
        nearest = np.eye(points.shape[-1])[gap.argmax(-1)]
        direction = np.where((length > 0)[..., None], outside / np.maximum(length, 1e-12)[..., None], nearest)
        signs = np.where(local < 0, -1.0, 1.0)
        return length + np.minimum(gap.max(-1), 0.0), (direction * signs) @ turn.T

    def fill(self, spacing: float) -> np.ndarray:
        """Return points ``[M, D]`` on a lattice inside the brick."""
        counts = np.maximum(np.round(2 * np.array(self.half) / spacing).astype(int), 1)
        axes = [(np.arange(n) + 0.5) / n * 2 * h - h for n, h in zip(counts, self.half, strict=True)]
        local = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
        return local @ self._turn(len(axes)).T + np.array(self.center)

    def _turn(self, dim: int) -> np.ndarray:
        cosine, sine = np.cos(np.radians(self.angle)), np.sin(np.radians(self.angle))
        turn = np.eye(dim)
        turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
        return turn


@dataclass(frozen=True)
class Scene:
    """The state at time zero and everything that does not move."""

    box: Box
    positions: np.ndarray
    """``[N, D]`` in m."""
    velocities: np.ndarray
    """``[N, D]`` in m/s."""
    species: np.ndarray
    """Name of the material of each particle ``[N]``; ``"obstacle"`` for those that never move."""
    gravity: np.ndarray
    """``[D]`` in m/s2."""
    obstacles: tuple[Obstacle, ...] = ()


@dataclass(frozen=True)
class BlockScenes:
    """Random scenes of bricks of material thrown into a walled box, as in the data sets of GNS.

    Args:
        box: ``[[lower, upper], ...]`` in m.
        materials: materials to draw from; one per block.
        blocks: least and largest number of blocks.
        size: least and largest edge length of a block in m.
        speed: largest initial speed along each axis in m/s.
        gravity: acceleration in m/s2.
        ramps: number of random tilted bricks.
        particles: a fixed number of particles, cut from the blocks; 0 leaves the number to the blocks.
    """

    box: Sequence[Sequence[float]]
    materials: Sequence[str] = ("water",)
    blocks: Sequence[int] = (1, 1)
    size: Sequence[float] = (0.2, 0.4)
    speed: float = 1.0
    gravity: Sequence[float] = field(default=(0.0, -9.81))
    ramps: int = 0
    particles: int = 0

    def draw(self, seed: int, spacing: float) -> Scene:
        """Return the scene of ``seed`` with particles ``spacing`` m apart.

        Raises:
            ValueError: the blocks do not hold the number of particles asked for.
        """
        generator = np.random.default_rng(seed)
        box = Box.from_bounds(self.box)
        ramps = tuple(self._ramp(generator, box, spacing) for _ in range(self.ramps))
        bricks = self._bricks(generator, box, spacing, ramps)
        positions = np.concatenate([points for points, _, _ in bricks])
        velocities = np.concatenate([np.tile(velocity, (len(points), 1)) for points, velocity, _ in bricks])
        species = np.concatenate([np.full(len(points), name, dtype=object) for points, _, name in bricks])
        positions, velocities, species = self._cut(positions, velocities, species)
        solid = [ramp.fill(spacing) for ramp in ramps]
        solid = [points[box_contains(points, box, 0.0)] for points in solid]
        count = sum(map(len, solid))
        return Scene(
            box,
            np.concatenate([positions, *solid]),
            np.concatenate([velocities, np.zeros((count, box.dim))]),
            np.concatenate([species, np.full(count, "obstacle", dtype=object)]).astype(str),
            np.array(self.gravity),
            ramps,
        )

    def _cut(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        if not self.particles:
            return arrays
        if len(arrays[0]) < self.particles:
            raise ValueError(
                f"the blocks hold {len(arrays[0])} particles, fewer than {self.particles}; make them larger"
            )
        keep = np.argsort(arrays[0][:, 1], kind="stable")[: self.particles]  # take them off the top
        return tuple(array[np.sort(keep)] for array in arrays)

    def _bricks(
        self, generator: np.random.Generator, box: Box, spacing: float, ramps: tuple[Obstacle, ...]
    ) -> list[tuple[np.ndarray, np.ndarray, str]]:
        """Return bricks ``(points, velocity, material)`` that overlap neither each other nor a ramp."""
        number = int(generator.integers(self.blocks[0], self.blocks[1] + 1))
        bricks: list[tuple[np.ndarray, np.ndarray, str]] = []
        for block in range(number):
            name = self.materials[block % len(self.materials)] if number > 1 else str(generator.choice(self.materials))
            velocity = generator.uniform(-self.speed, self.speed, box.dim)
            for _ in range(200):
                brick = self._brick(generator, box, spacing)
                points = (
                    brick.fill(spacing) + generator.uniform(-0.1, 0.1, (len(brick.fill(spacing)), box.dim)) * spacing
                )
                if self._is_free(points, [b for b, _, _ in bricks], ramps, spacing):
                    bricks.append((points, velocity, name))
                    break
        return bricks

    def _brick(self, generator: np.random.Generator, box: Box, spacing: float) -> Obstacle:
        low, high = np.array(box.lower) + spacing, np.array(box.upper) - spacing
        half = np.minimum(generator.uniform(self.size[0], self.size[1], box.dim), high - low) / 2
        return Obstacle(tuple(generator.uniform(low + half, high - half)), tuple(half))

    @staticmethod
    def _is_free(points: np.ndarray, others: list[np.ndarray], ramps: tuple[Obstacle, ...], spacing: float) -> bool:
        if any((ramp.distance(points)[0] < 1.5 * spacing).any() for ramp in ramps):
            return False
        low, high = points.min(0) - spacing, points.max(0) + spacing
        return not any(((other > low) & (other < high)).all(1).any() for other in others)

    def _ramp(self, generator: np.random.Generator, box: Box, spacing: float) -> Obstacle:
        low, length = np.array(box.lower), np.array(box.lengths)
        center = (
            low
            + length
            * np.concatenate([generator.uniform(0.2, 0.8, 1), generator.uniform(0.15, 0.5, 1), [0.5]])[: box.dim]
        )
        half = np.array([generator.uniform(0.15, 0.25) * length[0], 2 * spacing, length[-1] / 2])[: box.dim]
        return Obstacle(tuple(center), tuple(half), float(generator.uniform(-40, 40)))


def box_contains(points: np.ndarray, box: Box, margin: float) -> np.ndarray:
    """Return which points ``[M, D]`` are at least ``margin`` inside the walls, ``[M]``."""
    low, high = np.array(box.lower) + margin, np.array(box.upper) - margin
    return np.all((points >= low) & (points <= high), axis=1)

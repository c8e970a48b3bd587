"""How good a rollout is: error of positions, of their distribution, of energy, momentum, density, walls and structure.

predicted frames, true frames -> numbers
"""

from collections.abc import Sequence

import numpy as np
import torch

from molgraph.particles.data.statistics import nearest_image, velocities
from molgraph.particles.geometry.space import Box
from molgraph.particles.geometry.trees import position_tree

HORIZONS = (1, 5, 20, 100)
"""Numbers of steps after which the squared error is reported, beside that of all steps."""


def squared_errors(predicted: np.ndarray, truth: np.ndarray, box: Box) -> np.ndarray:
    """Return the mean squared distance ``[T]`` between predicted and true positions ``[T, N, D]``, minimum image."""
    with np.errstate(over="ignore", invalid="ignore"):
        return (nearest_image(predicted.astype(np.float64) - truth, box) ** 2).sum(-1).mean(-1)


def sliced_wasserstein(predicted: np.ndarray, truth: np.ndarray, box: Box, directions: int = 64) -> float:
    """Return the root mean squared Wasserstein-2 distance of projections of two clouds ``[N, D]``.

    On periodic axes positions are compared inside the box, which overrates clouds that differ by a shift across it.
    """
    generator = np.random.default_rng(0)
    axes = generator.normal(size=(predicted.shape[1], directions))
    axes /= np.linalg.norm(axes, axis=0)
    inside = [box.wrap(torch.from_numpy(np.array(cloud, dtype=np.float64))).numpy() for cloud in (predicted, truth)]
    first, second = (np.sort(cloud @ axes, axis=0) for cloud in inside)
    return float(np.sqrt(((first - second) ** 2).mean()))


def kinetic_energy(positions: np.ndarray, box: Box) -> np.ndarray:
    """Return the mean of half the squared speed ``[T - 1]`` in length squared per frame squared."""
    return 0.5 * (velocities(positions, box) ** 2).sum(-1).mean(-1)


def momentum_drift(positions: np.ndarray, gravity: np.ndarray, box: Box, radius: float) -> float:
    """Return the acceleration of the centre of mass beyond gravity, over gravity, in frames far from walls.

    These are the frames in which no particle is near a wall, neither now nor where free flight would lead it.

    Args:
        positions: ``[T, N, D]``; float64, or rounding is all that is measured.
        gravity: ``[D]`` in length per frame squared; without any, the drift is relative to the spread of accelerations.
        box: the box.
        radius: how near a wall is near.

    Returns:
        The largest over those frames; nan if there is none, 0 where nothing accelerates.
    """
    speeds = velocities(positions, box)
    acceleration = np.diff(speeds, axis=0)  # of frames 1 .. T - 2
    middle = positions[1:-1].astype(np.float64)
    frames = torch.from_numpy(np.concatenate([middle, middle + speeds[:-1] + gravity], axis=1))
    near = np.array([bool((box.wall_distances(frame) < radius).any()) for frame in frames])
    unit = float(np.linalg.norm(gravity)) or float(acceleration.std()) or 1.0
    drift = np.linalg.norm(acceleration.mean(axis=1) - gravity, axis=1) / unit
    return float(drift[~near].max()) if (~near).any() else float("nan")


def density_deviation(predicted: np.ndarray, truth: np.ndarray, radius: float, box: Box) -> float:
    """Return the relative difference of the mean kernel density of predicted and true positions ``[N, D]``."""
    return abs(mean_density(predicted, radius, box) / mean_density(truth, radius, box) - 1)


def mean_density(positions: np.ndarray, radius: float, box: Box) -> float:
    """Return the mean over particles of ``Σⱼ (1 - r²/R²)³`` with ``j = i`` included."""
    tree = position_tree(positions, box)
    pairs = tree.query_pairs(radius, output_type="ndarray")
    square = (nearest_image(positions[pairs[:, 0]] - positions[pairs[:, 1]], box) ** 2).sum(1)
    return 1 + 2 * float(((1 - square / radius**2) ** 3).sum()) / len(positions)


def escaped(positions: np.ndarray, box: Box) -> np.ndarray:
    """Return the share ``[T]`` of particles of each frame ``[T, N, D]`` behind a wall by more than rounding."""
    tolerance = 1e-6 * max((n for n in box.lengths if np.isfinite(n)), default=1.0)
    outside = [box.outside(torch.from_numpy(frame.astype(np.float64))) > tolerance for frame in positions]
    return np.array([float(out.double().mean()) for out in outside])


def time_to_failure(predicted: np.ndarray, truth: np.ndarray, box: Box, radius: float, factor: float = 10.0) -> int:
    """Return the first frame with a number that is none, a particle a radius behind a wall, or too much kinetic energy.

    Too much is ``factor`` times the largest that the truth ever has. The number of frames if nothing fails.
    """
    limit = factor * kinetic_energy(truth, box).max()
    energy = np.concatenate([[0.0], kinetic_energy(predicted, box)])
    depth = np.array([float(box.outside(torch.from_numpy(frame.astype(np.float64))).amax()) for frame in predicted])
    bad = ~np.isfinite(predicted).all((1, 2)) | ~(depth <= radius) | ~(energy <= limit)
    return int(bad.argmax()) if bad.any() else len(predicted)


def radial_distribution(
    frames: np.ndarray, box: Box, largest: float | None = None, bins: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    """Return radial distribution function ``g(r)`` of a periodic system.

    Args:
        frames: ``[T, N, D]``.
        box: periodic on all axes.
        largest: largest distance; half the shortest period by default.
        bins: number of bins.

    Returns:
        Bin centers and g, each ``[bins]``.

    Raises:
        ValueError: a box that is not periodic on all axes.
    """
    if not all(box.periodic):
        raise ValueError("g(r) is defined against a uniform fluid and needs a box that is periodic on all axes")
    largest = largest or 0.5 * min(box.lengths)
    edges = np.linspace(0, largest, bins + 1)
    number = frames.shape[1]
    counts = np.zeros(bins)
    for frame in frames:
        tree = position_tree(frame, box)
        counts += np.diff(tree.count_neighbors(tree, edges)).astype(float)
    shell = np.pi * np.diff(edges**2) if box.dim == 2 else 4 / 3 * np.pi * np.diff(edges**3)
    ideal = len(frames) * number * (number - 1) / float(np.prod(box.lengths)) * shell
    return (edges[1:] + edges[:-1]) / 2, counts / ideal


def mean_squared_displacement(frames: np.ndarray, box: Box) -> np.ndarray:
    """Return the mean squared distance ``[T]`` of particles ``[T, N, D]`` from where they started, across periods."""
    moved = np.cumsum(velocities(frames, box), axis=0)
    return np.concatenate([[0.0], (moved**2).sum(-1).mean(-1)])


def horizon_errors(errors: np.ndarray, horizons: Sequence[int] = HORIZONS) -> dict[str, float]:
    """Return the squared error after each horizon that the rollout reaches, and the mean over all steps."""
    values = {f"mse_{n}": float(errors[n - 1]) for n in horizons if n <= len(errors)}
    return values | {"mse_all": float(errors.mean()), "mse_last": float(errors[-1])}

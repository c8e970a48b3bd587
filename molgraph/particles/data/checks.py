"""Bad input, found before any training: each check names the frame, the particle and the remedy.

trajectory -> check_trajectory -> ValueError or nothing
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from molgraph.particles.data.statistics import mean_neighbors, motion_statistics, suggest_radius
from molgraph.particles.data.trajectory import Metadata, Trajectory
from molgraph.particles.geometry.space import Box

MOST_NEIGHBORS = 500
"""More neighbours than this on average is a radius in the wrong unit, not a choice."""


def check_trajectory(trajectory: Trajectory, box: Box, frames: int, name: str) -> None:
    """Refuse what no simulator can learn from.

    Args:
        trajectory: what to check.
        box: the box of the set.
        frames: least number of frames: history, present and future of one window.
        name: where the trajectory comes from, for the message.

    Raises:
        ValueError: another dimension, too few frames, a NaN, a particle behind a wall, two particles at one point.
    """
    positions = trajectory.positions
    if positions.ndim != 3 or positions.shape[2] != box.dim:
        raise ValueError(f"{name}: positions of shape {positions.shape} do not fit the {box.dim}-dimensional box")
    if len(trajectory.species) != positions.shape[1]:
        raise ValueError(f"{name}: {positions.shape[1]} particles but {len(trajectory.species)} types")
    if len(positions) < frames:
        raise ValueError(f"{name}: {len(positions)} frames, but a window needs {frames}; shorten the history")
    check_finite(positions, name)
    check_inside(positions, box, name)
    for frame in (0, len(positions) - 1):
        check_apart(positions[frame], f"{name}, frame {frame}")


def check_finite(positions: np.ndarray, name: str) -> None:
    """Refuse positions ``[T, N, D]`` that are not numbers."""
    bad = np.argwhere(~np.isfinite(positions).all(axis=2))
    if len(bad):
        frame, particle = bad[0]
        where = positions[frame, particle].tolist()
        raise ValueError(f"{name}: frame {frame}, particle {particle} is at {where}; cut the trajectory before it")


def check_inside(positions: np.ndarray, box: Box, name: str) -> None:
    """Refuse positions ``[T, N, D]`` behind a wall by more than rounding."""
    for axis, place, sign in box.walls:
        depth = -sign * (positions[:, :, axis] - place)
        tolerance = 1e-5 * max(1.0, abs(place))
        if depth.max(initial=-np.inf) > tolerance:
            frame, particle = np.unravel_index(depth.argmax(), depth.shape)
            raise ValueError(
                f"{name}: frame {frame}, particle {particle} lies {depth.max():.4g} outside the box on axis {axis} "
                f"(bound {place}); widen the bounds in metadata.json"
            )


def check_apart(positions: np.ndarray, name: str) -> None:
    """Refuse two particles ``[N, D]`` at the same point: no network can tell them apart."""
    if len(positions) < 2:
        return
    distance, other = cKDTree(positions).query(positions, k=2)
    if distance[:, 1].min() == 0:
        particle = int(distance[:, 1].argmin())
        partner = int(other[particle][other[particle] != particle][0])
        raise ValueError(f"{name}: particles {particle} and {partner} are both at {positions[particle].tolist()}")


def check_radius(trajectories: list[Trajectory], radius: float, box: Box) -> float:
    """Refuse a radius without neighbours or with a crowd of them.

    Returns:
        Mean number of neighbours in the first frames.

    Raises:
        ValueError: fewer than one neighbour for ten particles, or more than 500 for each; the message has a better one.
    """
    frames = [t.positions[0].astype(np.float64) for t in trajectories[:5]]
    mean = float(np.mean([mean_neighbors(frame, radius, box) for frame in frames]))
    if 0.1 <= mean <= MOST_NEIGHBORS:
        return mean
    remedy = f"; about 20 neighbours are within {suggest_radius(frames, box):.4g}" if len(frames[0]) > 1 else ""
    raise ValueError(f"a radius of {radius:.4g} has {mean:.3g} neighbours on average{remedy}")


def check_moving(trajectory: Trajectory, kinematic: Sequence[int], name: str) -> None:
    """Refuse a trajectory of which nothing is predicted.

    Raises:
        ValueError: all its particles are walls or obstacles.
    """
    if np.isin(trajectory.species, kinematic).all():
        types = sorted({int(species) for species in trajectory.species})
        raise ValueError(
            f"{name}: all particles are of type {types}, which metadata.json counts as walls and obstacles "
            f"(kinematic_types {list(kinematic)}); set kinematic_types to the types that do not move"
        )


def with_statistics(metadata: Metadata, train: Sequence[Trajectory], name: str) -> Metadata:
    """Return metadata whose mean and spread of velocities are there, computed from the training part where they lack.

    Raises:
        ValueError: nothing moves, so that there is nothing to learn.
    """
    moving = [t.positions[:, ~np.isin(t.species, metadata.kinematic)] for t in train]
    if not {"vel_mean", "vel_std", "acc_mean", "acc_std"} <= set(metadata.statistics):
        metadata = replace(metadata, statistics=motion_statistics(moving, metadata.box))
    spread = np.asarray(metadata.statistics["vel_std"], dtype=float)
    if not np.isfinite(spread).all() or not (spread > 0).any():
        raise ValueError(f"{name}: nothing moves (the velocities of the training part have no spread)")
    return metadata

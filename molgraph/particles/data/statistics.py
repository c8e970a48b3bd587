"""What a data set is like: its spread of velocities, and the radius, noise and history that follow from it.

trajectories -> streaming mean and spread -> suggestion
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from molgraph.particles.geometry.space import Box
from molgraph.particles.geometry.trees import position_tree

TARGET_NEIGHBORS = 20
"""Neighbours that GNS sees on average (Sanchez-Gonzalez et al. 2020, section 4.1)."""
NOISE_FRACTION = 0.5
"""Noise of GNS relative to the spread of velocities: 6.7e-4 over 1.37e-3 for its water drops."""


class Welford:
    """Mean and variance of rows that arrive in pieces, in one pass (Chan et al. 1979, eq. 1.5).

    >>> moments = Welford()
    >>> moments.add(np.array([[1.0], [3.0]])); moments.add(np.array([[5.0]]))
    >>> moments.mean.tolist(), (moments.std**2).round(4).tolist()
    ([3.0], [2.6667])
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = np.zeros(1)
        self._squares = np.zeros(1)

    def add(self, rows: np.ndarray) -> None:
        """Add rows ``[M, D]``."""
        if len(rows) == 0:
            return
        rows = rows.astype(np.float64)
        mean = rows.mean(axis=0)
        squares = ((rows - mean) ** 2).sum(axis=0)
        total = self.count + len(rows)
        delta = mean - self.mean
        self._squares = self._squares + squares + delta**2 * self.count * len(rows) / total
        self.mean = self.mean + delta * len(rows) / total
        self.count = total

    @property
    def std(self) -> np.ndarray:
        """Standard deviation ``[D]`` (of the population)."""
        return np.sqrt(self._squares / max(self.count, 1))


@dataclass(frozen=True)
class Suggestion:
    """What to choose for a data set, and why."""

    radius: float
    """Connectivity radius with about 20 neighbours, in the unit of the positions."""
    neighbors: float
    """Mean number of neighbours at that radius."""
    noise: float
    """Standard deviation of the velocity noise in length per frame: half the spread of the velocities."""
    history: int
    """Number of past velocities that help to predict the next one."""

    def __str__(self) -> str:
        return (
            f"radius {self.radius:.4g} ({self.neighbors:.1f} neighbours on average), "
            f"noise {self.noise:.3g} per frame ({NOISE_FRACTION} of the velocity spread), "
            f"history of {self.history} velocities"
        )


def nearest_image(vectors: np.ndarray, box: Box) -> np.ndarray:
    """Return the shortest periodic copy of each vector ``[..., D]``."""
    return box.nearest_image(torch.from_numpy(np.asarray(vectors, dtype=np.float64))).numpy()


def velocities(positions: np.ndarray, box: Box) -> np.ndarray:
    """Return displacements between frames, ``[T, N, D] -> [T - 1, N, D]``, in length per frame."""
    return nearest_image(np.diff(positions.astype(np.float64), axis=0), box)


def motion_statistics(pieces: Iterable[np.ndarray], box: Box) -> dict[str, list[float]]:
    """Return the mean and spread of velocities and accelerations, in length per frame and per frame squared.

    Args:
        pieces: positions ``[T, N, D]`` of the moving particles of each trajectory, one after the other.
        box: the box, for periods.

    Returns:
        ``vel_mean, vel_std, acc_mean, acc_std``, the keys of GNS and LagrangeBench metadata.
    """
    velocity, acceleration = Welford(), Welford()
    for positions in pieces:
        moved = velocities(positions, box)
        velocity.add(moved.reshape(-1, box.dim))
        acceleration.add(np.diff(moved, axis=0).reshape(-1, box.dim))
    moments = {"vel": velocity, "acc": acceleration}
    means = {f"{name}_mean": moment.mean.tolist() for name, moment in moments.items()}
    return means | {f"{name}_std": moment.std.tolist() for name, moment in moments.items()}


def relative_motion(trajectories: Sequence[np.ndarray], radius: float, box: Box) -> float:
    """Return the root mean square relative velocity of neighbours along an axis, in length per frame.

    Args:
        trajectories: positions ``[T, N, D]``; at most five of them are looked at, at five times each.
        radius: how near neighbours are.
        box: the box, for periods.
    """
    squares = []
    for positions in list(trajectories)[:5]:
        moved = velocities(positions, box)
        for frame in np.linspace(0, len(moved) - 1, 5).astype(int):
            pairs = position_tree(positions[frame + 1], box).query_pairs(radius, output_type="ndarray")
            squares.append(np.square(moved[frame, pairs[:, 0]] - moved[frame, pairs[:, 1]]).ravel())
    together = np.concatenate(squares)
    return float(np.sqrt(together.mean())) if len(together) else 0.0


def mean_neighbors(positions: np.ndarray, radius: float, box: Box) -> float:
    """Return the mean number of neighbours of a particle at ``positions`` ``[N, D]`` within ``radius``."""
    tree = position_tree(positions, box)
    return (tree.count_neighbors(tree, radius) - len(positions)) / max(len(positions), 1)


def suggest_radius(frames: Sequence[np.ndarray], box: Box, neighbors: float = TARGET_NEIGHBORS) -> float:
    """Return the radius with ``neighbors`` neighbours on average over frames ``[N, D]``, by bisection.

    With fewer particles than that, the radius at which all are neighbours.
    """
    wanted = min(neighbors, min(len(f) for f in frames) - 1)
    if wanted < 1:
        raise ValueError(
            "a trajectory holds a single particle, for which no radius of about 20 neighbours can be found; "
            "leave that trajectory out, or write the set from Python with Metadata(radius=...)"
        )
    trees = [position_tree(f, box) for f in frames]
    low, high = 0.0, float(max(np.ptp(f, axis=0).max() for f in frames)) * box.dim**0.5
    for _ in range(40):
        middle = (low + high) / 2
        mean = np.mean([tree.count_neighbors(tree, middle) / tree.n - 1 for tree in trees])
        low, high = (middle, high) if mean < wanted else (low, middle)
    return high


def suggest_history(moved: Sequence[np.ndarray], longest: int = 5, gain: float = 0.05) -> int:
    """Return the fewest past velocities from which a linear forecast of the next is within ``gain`` of the best one.

    Args:
        moved: velocities ``[T, N, D]`` of some trajectories.
        longest: largest history to consider; also limited by the length of the trajectories.
        gain: relative loss in the root mean square that is accepted for a shorter history.
    """
    longest = min(longest, min(len(v) for v in moved) - 1)
    if longest < 1:
        raise ValueError(f"trajectories of {min(len(v) for v in moved) + 1} frames are too short; 3 is the least")
    windows = [np.lib.stride_tricks.sliding_window_view(v, longest + 1, axis=0) for v in moved]
    rows = np.concatenate([w.reshape(-1, longest + 1) for w in windows])
    errors = []
    for past in range(1, longest + 1):
        known, following = rows[:, longest - past : longest], rows[:, longest]
        weights = np.linalg.lstsq(known, following, rcond=None)[0]
        errors.append(float(np.sqrt(np.mean((known @ weights - following) ** 2))))
    good = min(errors) * (1 + gain) + 1e-12
    return next(past for past, error in enumerate(errors, 1) if error <= good)


def suggest(trajectories: Sequence[np.ndarray], box: Box) -> Suggestion:
    """Return the radius, noise and history for trajectories ``[T, N, D]``, from at most five of them."""
    chosen = list(trajectories)[:5]
    frames = [t[i] for t in chosen for i in np.linspace(0, len(t) - 1, 5).astype(int)]
    radius = suggest_radius(frames, box)
    neighbors = float(np.mean([mean_neighbors(f, radius, box) for f in frames]))
    moved = [velocities(t, box) for t in chosen]
    spread = float(np.sqrt(np.mean([np.mean((v - v.mean((0, 1))) ** 2) for v in moved])))
    return Suggestion(radius, neighbors, NOISE_FRACTION * spread, suggest_history(moved))

"""Trajectories to batches: windows of a few frames, several side by side.

trajectories -> windows -> Window(state, future)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from molgraph.particles.data.statistics import velocities
from molgraph.particles.data.trajectory import Metadata, Trajectory
from molgraph.particles.geometry.space import Box
from molgraph.particles.models.simulator import Scale
from molgraph.particles.models.state import ParticleState, stack_states


@dataclass(frozen=True)
class Window:
    """A state and what truly followed it."""

    state: ParticleState
    future: Tensor
    """``[N, K, D]``: the next ``K`` positions."""

    def to(self, device: torch.device | str) -> "Window":
        """Return the same window on another device."""
        return Window(self.state.to(device), self.future.to(device))


@dataclass(frozen=True)
class Frames:
    """Trajectories as tensors, ready to be cut into windows.

    Args:
        trajectories: trajectories of one set.
        metadata: of the set.
        scale: of the simulator.
        dtype: float32 to train; float64 to follow momentum to the last digit.
    """

    trajectories: Sequence[Trajectory]
    metadata: Metadata
    scale: Scale
    dtype: torch.dtype = torch.float32

    def window(self, number: int, start: int, steps: int) -> Window:
        """Return the window of trajectory ``number`` with history from frame ``start`` and ``steps`` future frames."""
        trajectory, past = self.trajectories[number], self.scale.history + 1
        chosen = torch.from_numpy(trajectory.positions[start : start + past + steps]).to(self.dtype).transpose(0, 1)
        chosen = self.metadata.box.wrap(chosen)
        state = state_at(chosen[:, :past], trajectory.species, trajectory.gravity, self.metadata, self.scale)
        return Window(state, chosen[:, past:])

    def felt(self, number: int) -> np.ndarray:
        """Return the root mean square acceleration beyond gravity of moving particles, for each window."""
        trajectory, metadata = self.trajectories[number], self.metadata
        moving = ~np.isin(trajectory.species, metadata.kinematic)
        speed = velocities(trajectory.positions[:, moving].astype(np.float64), metadata.box)
        beyond = np.diff(speed, axis=0) - trajectory.gravity * metadata.dt**2
        return np.sqrt((beyond**2).mean((1, 2)))[self.scale.history - 1 :]

    def starts(self, number: int, steps: int) -> int:
        """Return the number of windows with ``steps`` future frames in trajectory ``number``."""
        return max(len(self.trajectories[number]) - self.scale.history - steps, 0)


def state_at(
    positions: Tensor,
    species: np.ndarray,
    gravity: np.ndarray,
    metadata: Metadata,
    scale: Scale,
    box: Box | None = None,
) -> ParticleState:
    """Return the state of one group of particles.

    Args:
        positions: ``[N, H + 1, D]``.
        species: types ``[N]`` as in the data.
        gravity: ``[D]`` in length per time squared.
        metadata: gives the time of a frame, the kinematic types and the box.
        scale: gives the table of types.
        box: another box than that of the metadata.
    """
    number, types = len(positions), torch.from_numpy(np.asarray(species)).long()
    frame_gravity = torch.as_tensor(np.asarray(gravity) * metadata.dt**2, dtype=positions.dtype)
    return ParticleState(
        positions=positions,
        species=scale.rows(types),
        kinematic=torch.isin(types, torch.tensor(metadata.kinematic, dtype=torch.long)),
        gravity=frame_gravity.expand(number, -1),
        graph=torch.zeros(number, dtype=torch.long),
        num_graphs=1,
        box=box or metadata.box,
    )


def stack_windows(windows: Sequence[Window]) -> Window:
    """Return windows side by side as one."""
    return Window(stack_states([w.state for w in windows]), torch.cat([w.future for w in windows]))


@dataclass(frozen=True)
class TrainingWindows:
    """Random windows, the same for the same seed and epoch.

    Args:
        frames: the trajectories.
        batch_size: windows in a batch.
        steps_per_epoch: batches in an epoch.
        seed: of the choice.
        reflect: mirror half of the windows along each axis without gravity; the physics stays the same.
        unrolls: relative frequency of 0, 1, 2, ... steps that the model takes itself before the one it learns from
            (pushforward, Brandstetter et al. 2022); LagrangeBench uses 18, 2, 1, 1.
        unroll_from: epoch from which ``unrolls`` counts; before it no window is unrolled.
        emphasis: share of windows that are drawn in proportion to the acceleration beyond gravity in them; the rest is
            drawn evenly. Impacts last a few frames, and decide what follows.
        part: this process and the number of processes that share each batch.
    """

    frames: Frames
    batch_size: int = 4
    steps_per_epoch: int = 250
    seed: int = 0
    reflect: bool = True
    unrolls: tuple[float, ...] = (1.0,)
    unroll_from: int = 0
    emphasis: float = 0.0
    part: tuple[int, int] = (0, 1)

    def shard(self, rank: int, size: int) -> "TrainingWindows":
        """Return the same batches of which process ``rank`` of ``size`` reads its share.

        Raises:
            ValueError: fewer windows in a batch than processes.
        """
        if self.batch_size < size:
            raise ValueError(
                f"task.windows.batch_size={self.batch_size} cannot be shared out among {size} processes; "
                "take a larger batch or fewer processes"
            )
        return replace(self, part=(rank, size))

    def __len__(self) -> int:
        return self.steps_per_epoch

    def epoch(self, number: int) -> Iterator[Window]:
        """Yield the batches of an epoch."""
        generator = np.random.default_rng((self.seed, number))
        shares = np.array(self.unrolls if number >= self.unroll_from else (1.0,))
        rank, size = self.part
        lotteries = {k: self._lottery(k) for k, share in enumerate(shares, 1) if share}
        for _ in range(self.steps_per_epoch):
            steps = 1 + int(generator.choice(len(shares), p=shares / shares.sum()))
            places = [lotteries[steps].draw(generator) for _ in range(self.batch_size)]
            # All are drawn, also those of other processes, so that the next batch is drawn alike everywhere.
            windows = [self._window(*place, steps, generator) for place in places]
            yield stack_windows(windows[rank::size])

    def _window(self, trajectory: int, start: int, steps: int, generator: np.random.Generator) -> Window:
        window = self.frames.window(trajectory, start, steps)
        return mirrored(window, generator) if self.reflect else window

    def _lottery(self, steps: int) -> "Lottery":
        """Return all windows with ``steps`` future frames, each with its chance."""
        counts = [self.frames.starts(i, steps) for i in range(len(self.frames.trajectories))]
        chances = np.full(sum(counts), 1 / max(sum(counts), 1))
        if self.emphasis:
            felt = np.concatenate([self.frames.felt(i)[:count] for i, count in enumerate(counts)])
            chances = (1 - self.emphasis) * chances + self.emphasis * felt / max(felt.sum(), 1e-30)
        return Lottery(np.cumsum([0, *counts]), np.cumsum(chances))


@dataclass(frozen=True)
class Lottery:
    """Windows and their chances."""

    firsts: np.ndarray
    """Place of the first window of each trajectory among all windows, and their number."""
    cumulative: np.ndarray
    """Cumulative chance of each window."""

    def draw(self, generator: np.random.Generator) -> tuple[int, int]:
        """Return a trajectory, and a start in it."""
        place = int(np.searchsorted(self.cumulative[:-1], generator.random(), side="right"))
        trajectory = int(np.searchsorted(self.firsts, place, side="right")) - 1
        return trajectory, place - int(self.firsts[trajectory])


def mirrored(window: Window, generator: np.random.Generator) -> Window:
    """Return the window mirrored across the middle of the box, each axis that allows it by chance."""
    state, future = window.state, window.future
    for axis, (low, high) in enumerate(zip(state.box.lower, state.box.upper, strict=True)):
        if bool(state.gravity[:1, axis].any()) or not np.isfinite(low + high) or generator.random() < 0.5:
            continue
        flip = torch.ones(state.box.dim, dtype=future.dtype)
        flip[axis] = -1.0
        shift = torch.zeros_like(flip)
        shift[axis] = low + high
        state = replace(state, positions=state.box.wrap(state.positions * flip + shift))
        future = state.box.wrap(future * flip + shift)
    return Window(state, future)


@dataclass(frozen=True)
class ValidationWindows:
    """Long windows at even places of each trajectory, one batch per place.

    Args:
        frames: the trajectories.
        steps: future frames of each window.
        starts: windows per trajectory.

    Raises:
        ValueError: a trajectory is shorter than a window.
    """

    frames: Frames
    steps: int
    starts: int = 1

    def __post_init__(self) -> None:
        for number, trajectory in enumerate(self.frames.trajectories):
            if self.frames.starts(number, self.steps) < 1:
                raise ValueError(
                    f"trajectory {number} has {len(trajectory)} frames, too few to roll out {self.steps} steps"
                )

    def __len__(self) -> int:
        return self.starts

    def epoch(self, number: int) -> Iterator[Window]:
        """Yield the same windows in every epoch."""
        for place in range(self.starts):
            yield stack_windows([self._window(i, place) for i in range(len(self.frames.trajectories))])

    def _window(self, trajectory: int, place: int) -> Window:
        last = self.frames.starts(trajectory, self.steps) - 1
        start = 0 if self.starts == 1 else round(place * last / (self.starts - 1))
        return self.frames.window(trajectory, start, self.steps)

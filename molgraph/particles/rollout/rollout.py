"""From one state to many frames: step after step, watched, with the last good state kept.

simulator, state -> rollout -> frames;  Atoms | scene -> state
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from molgraph.nn.edges import Edges
from molgraph.particles.data.trajectory import Metadata
from molgraph.particles.geometry.neighbors import NeighborList
from molgraph.particles.geometry.space import Box
from molgraph.particles.learning.windows import state_at
from molgraph.particles.models.simulator import Scale, Simulator
from molgraph.particles.models.state import ParticleState
from molgraph.particles.solvers.scenes import Scene
from molgraph.training.hardware.allocator import Growth


class RolloutStopped(RuntimeError):
    """A rollout that left what is physical.

    Attributes:
        frame: the first frame that is bad; all before it are good.
        state: the last good state.
    """

    def __init__(self, frame: int, reason: str, state: ParticleState) -> None:
        super().__init__(f"stopped at frame {frame}: {reason}; the {frame} frames before it are good")
        self.frame = frame
        self.state = state


@dataclass(frozen=True)
class Guard:
    """What a rollout must not do."""

    escape: float = 1.0
    """Largest depth behind a wall, in connectivity radii."""
    energy: float = 50.0
    """Largest kinetic energy, relative to that of the training data or of the first state, whichever is larger."""
    crowding: float = 4.0
    """Largest number of neighbours, relative to that of the first state or to 20, whichever is larger: particles that
    fall into a heap have no volume any more, and memory for their edges ends before the rollout does."""

    def reason_to_stop(self, simulator: Simulator, start: ParticleState, state: ParticleState) -> str | None:
        """Return why ``state`` is not acceptable, or None."""
        now, moving = state.positions[:, -1], ~state.kinematic
        finite = torch.isfinite(now).all(dim=1)
        if not bool(finite.all()):
            return f"particle {int((~finite).nonzero()[0])} is not a number"
        depth = state.box.outside(now) * moving
        if bool(depth.amax() > self.escape * simulator.scale.radius):
            return f"particle {int(depth.argmax())} is {float(depth.amax()):.4g} outside the box"
        typical = max(sum(s**2 for s in simulator.scale.velocity_std), float(mean_square_speed(start)))
        fall = float(start.gravity.norm(dim=1).amax()) * max(
            (n for n in state.box.lengths if np.isfinite(n)), default=0
        )
        energy = float(mean_square_speed(state))
        if energy > self.energy * (typical + fall):
            return f"kinetic energy is {energy / (typical + fall):.3g} times what is usual"
        return None

    def reason_of_crowding(self, first: Edges, edges: Edges, particles: int) -> str | None:
        """Return why the neighbours of a frame are not acceptable, or None."""
        usual, found = max(len(first.dst) / particles, 20), len(edges.dst) / particles
        if found > self.crowding * usual:
            return f"particles fall into a heap: {found:.0f} neighbours each, {usual:.0f} are usual"
        return None


def mean_square_speed(state: ParticleState) -> Tensor:
    """Return the mean squared speed of the moving particles in length squared per frame squared."""
    return state.velocities[~state.kinematic, -1].square().sum(1).mean()


@torch.no_grad()
def rollout(
    simulator: Simulator,
    state: ParticleState,
    steps: int,
    truth: Tensor | None = None,
    guard: Guard | None = None,
    skin: float = 0.0,
) -> Iterator[Tensor]:
    """Advance ``state`` by ``steps`` frames.

    Args:
        simulator: the model.
        state: where to start.
        steps: number of frames; more than the model was trained on is allowed.
        truth: positions ``[N, T, D]`` that kinematic particles follow; without it they stay.
        guard: when to stop; None never stops.
        skin: for large systems, extra search radius so that neighbours are not searched in every step.

    Yields:
        Positions ``[N, D]`` of each frame.

    Raises:
        RolloutStopped: the guard found a frame that is not acceptable; it is not yielded.
    """
    simulator.eval()
    start = state
    neighbors = _neighbor_list(simulator, state, skin) if skin > 0 else None
    growth = Growth()

    def find(state: ParticleState) -> Edges:
        return neighbors.find(state.positions[:, -1]) if neighbors else simulator.find_edges(state)

    first = edges = find(state)
    for step in range(steps):
        growth.check()  # what flows together has more edges in each step
        following = simulator(state, edges)
        if truth is not None and step < truth.shape[1]:
            following = torch.where(state.kinematic[:, None], truth[:, step], following)
        advanced = state.advanced(following)
        reason = guard.reason_to_stop(simulator, start, advanced) if guard else None
        if reason is None and (guard or step + 1 < steps):
            edges = find(advanced)
            reason = guard.reason_of_crowding(first, edges, len(following)) if guard else None
        if reason:
            raise RolloutStopped(step, reason, state)
        state = advanced
        yield state.positions[:, -1]


def _neighbor_list(simulator: Simulator, state: ParticleState, skin: float) -> NeighborList:
    if state.num_graphs != 1:
        raise ValueError(f"a skin is for one group of particles, not {state.num_graphs}; roll them out one by one")
    # ask the model itself whether it wants self edges, from a state of one particle
    alone = ParticleState(
        state.positions[:1],
        state.species[:1],
        state.kinematic[:1],
        state.gravity[:1],
        state.graph[:1] * 0,
        1,
        state.box,
    )
    loops = len(simulator.find_edges(alone).dst) > 0
    return NeighborList(simulator.scale.radius, state.box, skin, loops)


def state_from_scene(scene: Scene, metadata: Metadata, scale: Scale, species: np.ndarray) -> ParticleState:
    """Return the state of a scene: its past is the free flight that leads to it.

    Args:
        scene: positions and velocities per unit of time.
        metadata: gives the time of a frame.
        scale: gives the history and the types.
        species: types ``[N]`` as in the data.
    """
    gravity = scene.gravity * metadata.dt**2
    flight = ballistic_past(scene.positions, scene.velocities * metadata.dt, gravity, scale.history)
    positions = scene.box.wrap(torch.from_numpy(flight))
    return state_at(positions, species, scene.gravity, metadata, scale, scene.box)


def ballistic_past(positions: np.ndarray, velocities: np.ndarray, gravity: np.ndarray, history: int) -> np.ndarray:
    """Return positions ``[N, H + 1, D]`` of free flight that end at ``positions`` with ``velocities``.

    >>> ballistic_past(np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]), np.array([0.0, -1.0]), 2)[0].tolist()
    [[-2.0, 0.0], [-1.0, 1.0], [0.0, 1.0]]
    """
    back = np.arange(history, -1, -1.0)[None, :, None]
    return positions[:, None] - back * velocities[:, None] + 0.5 * back * (back - 1) * gravity


def state_from_positions(
    positions: np.ndarray,
    species: np.ndarray,
    gravity: np.ndarray,
    metadata: Metadata,
    scale: Scale,
    box: Box | None = None,
) -> ParticleState:
    """Return the state after the first frames ``[T, N, D]``; where they are too few, the first goes on back.

    Raises:
        ValueError: no frame, or another dimension than the model's.
    """
    if len(positions) == 0 or positions.shape[2] != scale.dim:
        raise ValueError(f"positions {positions.shape} do not start a rollout in {scale.dim} dimensions")
    past = scale.history + 1
    frames = torch.from_numpy(np.asarray(positions[:past], dtype=np.float64)).transpose(0, 1)
    box = box or metadata.box
    missing = past - frames.shape[1]
    if missing:
        velocity = (
            box.displacement(frames[:, 1:2], frames[:, :1]) if frames.shape[1] > 1 else torch.zeros_like(frames[:, :1])
        )
        back = torch.arange(missing, 0, -1)[None, :, None]
        frames = torch.cat([frames[:, :1] - back * velocity, frames], dim=1)
    return state_at(box.wrap(frames), species, gravity, metadata, scale, box)

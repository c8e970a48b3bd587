"""What a simulator sees of particles: their last positions, what they are, their box; and how they move on.

positions, acceleration -> integrate -> next position;  next position -> inverse_integrate -> acceleration
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from molgraph.nn.edges import Edges
from molgraph.particles.geometry.neighbors import radius_edges
from molgraph.particles.geometry.space import Box


@dataclass(frozen=True)
class ParticleState:
    """One or several groups of particles at one time, with their recent past. Time is counted in frames."""

    positions: Tensor
    """``[N, H + 1, D]``: the last positions, newest last; they hold ``H`` velocities."""
    species: Tensor
    """Row ``[N]`` of each particle in the simulator's table of types."""
    kinematic: Tensor
    """Particles ``[N]`` bool that follow a prescribed path."""
    gravity: Tensor
    """External acceleration ``[N, D]`` in length per frame squared."""
    graph: Tensor
    """Group of each particle ``[N]``, ascending; groups do not see each other."""
    num_graphs: int
    """Number of groups."""
    box: Box
    """The box that all groups share."""

    @property
    def velocities(self) -> Tensor:
        """``[N, H, D]`` in length per frame, newest last."""
        return self.box.displacement(self.positions[:, 1:], self.positions[:, :-1])

    def edges(self, radius: float, self_edges: bool = False) -> Edges:
        """Return edges between the newest positions."""
        several = self.graph if self.num_graphs > 1 else None
        return radius_edges(self.positions[:, -1], radius, self.box, several, self_edges)

    def advanced(self, positions: Tensor) -> "ParticleState":
        """Return the state one frame later, at ``positions`` ``[N, D]``."""
        following = self.box.wrap(positions)
        return replace(self, positions=torch.cat([self.positions[:, 1:], following[:, None]], dim=1))

    def to(self, device: torch.device | str) -> "ParticleState":
        """Return the same state on another device."""
        moved: dict[str, Any] = {
            name: getattr(self, name).to(device) for name in ("positions", "species", "kinematic", "gravity", "graph")
        }
        return replace(self, **moved)


def integrate(state: ParticleState, acceleration: Tensor) -> Tensor:
    """Return the next positions ``[N, D]`` by semi-implicit Euler over one frame, not wrapped."""
    velocity = state.velocities[:, -1] + acceleration
    return state.positions[:, -1] + velocity


def inverse_integrate(state: ParticleState, following: Tensor) -> Tensor:
    """Return the acceleration ``[N, D]`` that takes ``state`` to the positions ``following`` ``[N, D]``."""
    velocity = state.box.displacement(following, state.positions[:, -1])
    return velocity - state.velocities[:, -1]


def stack_states(states: Sequence[ParticleState]) -> ParticleState:
    """Return groups of particles side by side.

    Raises:
        ValueError: states in different boxes.
    """
    first = states[0]
    if any(state.box != first.box for state in states):
        raise ValueError("states in different boxes cannot be one batch; simulate them one after the other")
    starts = [sum(s.num_graphs for s in states[:i]) for i in range(len(states))]
    graph = torch.cat([state.graph + start for state, start in zip(states, starts, strict=True)])
    joined: dict[str, Any] = {
        name: torch.cat([getattr(s, name) for s in states]) for name in ("positions", "species", "kinematic", "gravity")
    }
    return replace(first, **joined, graph=graph, num_graphs=sum(s.num_graphs for s in states))

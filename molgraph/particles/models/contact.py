"""What particles know of walls and obstacles: how near they are to each one, and to the body that it is part of.

state, pair vectors -> find_contact -> Contact
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from molgraph.nn.edges import Edges
from molgraph.nn.segments import segment_max
from molgraph.particles.geometry.neighbors import fade
from molgraph.particles.geometry.space import Box
from molgraph.particles.models.state import ParticleState


@dataclass(frozen=True)
class Contact:
    """Nearness to walls: 1 at a wall, 0 at the connectivity radius and where there is no wall, up to 2 behind one.

    A body is what chains of at most ``CHAIN`` neighbours connect; what it knows has no gradient. The ``W = 2 D`` walls
    are the lower ones of all axes, then the upper ones.
    """

    own: Tensor
    """Of each particle ``[N, 2, W]``: now, and where a frame of free flight leads."""
    body: Tensor
    """The largest of these in its body ``[N, 2, W]``."""
    obstacle: Tensor
    """Whether its body meets a kinematic particle ``[N, 1]``, from 0 to 1."""
    normals: Tensor
    """Inward normals of the walls ``[W, D]``."""

    @property
    def walls(self) -> Tensor:
        """How much each wall touches the body ``[N, W]``, from 0 at the radius to 1 at three quarters of it."""
        return ramp(self.body.amax(1))

    @property
    def touch(self) -> Tensor:
        """How much anything touches the body ``[N, 1]``; 0 for a body in free flight."""
        return torch.cat([self.walls, self.obstacle], dim=1).amax(1, keepdim=True)


CHAIN = 16
"""Neighbours along which the touch of a wall is known."""


def find_contact(state: ParticleState, vector: Tensor, edges: Edges, radius: float) -> Contact:
    """Return how near walls and obstacles are to particles and to their bodies.

    Args:
        state: particles.
        vector: relative positions of the pairs over the radius ``[E, D]``.
        edges: all pairs within the radius.
        radius: connectivity radius in the length unit of the data.
    """
    now, fall = state.positions[:, -1], state.velocities[:, -1] + state.gravity
    own = torch.stack([nearness(place, state.box, radius) for place in (now, now + fall)], dim=1)
    known = torch.cat([own.detach().flatten(1), state.kinematic[:, None].to(own.dtype)], dim=1)
    bond = ramp(fade(vector.detach().to(own.dtype)))  # breaks smoothly at the radius
    met = known.any(0)  # most walls are out of reach
    told = known[:, met]
    for _ in range(CHAIN if bool(met.any()) else 0):
        told = torch.maximum(told, segment_max(bond * told.index_select(0, edges.src), edges.offsets))
    known[:, met] = told
    identity = torch.eye(state.box.dim, dtype=own.dtype, device=own.device)
    return Contact(own, known[:, :-1].view_as(own), known[:, -1:], torch.cat([identity, -identity]))


def ramp(value: Tensor) -> Tensor:
    """Make one from 0 at 0 to 1 at a quarter, and 1 beyond."""
    return (4 * value).clamp(max=1)


def nearness(positions: Tensor, box: Box, radius: float) -> Tensor:
    """Return how near each wall is to each of the positions ``[N, D]``: ``[N, 2 D]``, see :class:`Contact`."""
    near = positions.new_zeros(len(positions), 2 * box.dim)
    for axis, place, sign in box.walls:
        column = axis if sign > 0 else box.dim + axis
        near[:, column] = (1 - sign * (positions[:, axis] - place) / radius).clamp(0, 2)
    return near

"""What particles see of their neighbours: where they are, how they move, and sums over all of them.

vectors along the edges -> Pairs -> edge_features;  Pairs -> local_moments
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from molgraph.nn.edges import Edges, edge_sum
from molgraph.particles.geometry.neighbors import fade


@dataclass(frozen=True)
class Pairs:
    """Neighbours as they see each other."""

    edges: Edges
    """The pairs, both ways."""
    vector: Tensor
    """Relative positions over the radius ``[E, D]``."""
    relative: Tensor
    """Relative velocities over their spread ``[E, H, D]``."""

    @cached_property
    def weight(self) -> Tensor:
        """Weight of each pair ``[E, 1]``, 0 at the radius."""
        return fade(self.vector)

    @cached_property
    def directions(self) -> Tensor:
        """Unit vector to the neighbour, and relative velocities ``[E, 1 + H, D]``."""
        axis = self.vector / self.vector.norm(dim=1, keepdim=True).clamp(min=1e-6)
        return torch.cat([axis[:, None], self.relative], dim=1)

    def around(self, terms: Tensor) -> Tensor:
        """Return the sum over the neighbours of each particle, faded out towards the radius: ``[E, F] -> [N, F]``."""
        return edge_sum(self.weight.to(terms.dtype) * terms, self.edges)

    def products(self, values: Tensor) -> Tensor:
        """Return ``values ⊗ x`` with the relative position: ``[E, D] -> [E, D²]``."""
        return (values[:, :, None] * self.vector[:, None]).flatten(1)


def edge_features(pairs: Pairs) -> Tensor:
    """Return relative position, its length, bumps over it, and relative velocities ``[E, D + 1 + RADIAL + H D]``."""
    length = pairs.vector.norm(dim=1, keepdim=True)
    return torch.cat([pairs.vector, length, radial_basis(length), pairs.relative.flatten(1)], dim=1)


def local_moments(pairs: Pairs) -> Tensor:
    """Return the density, its slope and anisotropy, mean relative velocity and velocity gradient around each particle.

    Sums over neighbours of ``1, x, x ⊗ x, v, v ⊗ x``, faded out towards the radius: ``[N, 1 + 2 D + 2 D²]``, about 1.
    """
    place, newest = pairs.vector, pairs.relative[:, -1]
    terms = [torch.ones_like(place[:, :1]), place, pairs.products(place), newest, pairs.products(newest)]
    return pairs.around(torch.cat(terms, dim=1)) / MOMENT


MOMENT = 5.0
"""Half the sum of the weights of about 20 neighbours."""


RADIAL = 8
"""Bumps over each distance, beside the distance itself: forces between atoms and of walls are steep."""


def radial_basis(length: Tensor) -> Tensor:
    """Return Gaussian bumps ``[..., RADIAL]`` over a distance ``[..., 1]`` in radii (Schütt et al. 2017, section 2)."""
    centers = torch.linspace(0, 1, RADIAL, dtype=length.dtype, device=length.device)
    return torch.exp(-0.5 * ((length - centers) * (RADIAL - 1)).square())

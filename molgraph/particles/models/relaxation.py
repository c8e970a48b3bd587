"""Particles that came too close are pushed apart a little after each frame, pair by pair, so that momentum is kept.

next positions -> density above rest -> antisymmetric pushes -> next positions
"""

import torch
from torch import Tensor

from molgraph.nn.edges import Edges, edge_sum
from molgraph.particles.geometry.neighbors import fade, radius_edges
from molgraph.particles.models.simulator import Simulator
from molgraph.particles.models.state import ParticleState


class Relaxed(Simulator):
    """A simulator with steps of density relaxation after each frame (after Toshev et al. 2024, "Neural SPH").

    Only where the density exceeds that of the start by 2 % do particles push each other, along their line and by equal
    amounts. Off by default: it is not part of what was learned.

    Args:
        simulator: the learned model.
        steps: relaxation steps after each frame.
        strength: of a push, as a fraction of the radius at double density.
    """

    def __init__(self, simulator: Simulator, steps: int = 1, strength: float = 0.02) -> None:
        super().__init__(simulator.scale)
        self.simulator = simulator
        self.steps = steps
        self.strength = strength
        self._rest: Tensor | None = None

    def find_edges(self, state: ParticleState) -> Edges:
        """Return the edges of the learned model."""
        return self.simulator.find_edges(state)

    def normalized_acceleration(self, state: ParticleState, edges: Edges) -> Tensor:
        """Return that of the learned model."""
        return self.simulator.normalized_acceleration(state, edges)

    def center(self, state: ParticleState) -> Tensor:
        """Return that of the learned model."""
        return self.simulator.center(state)

    @property
    def spread(self) -> Tensor:
        """That of the learned model."""
        return self.simulator.spread

    def constrain(self, state: ParticleState, following: Tensor) -> Tensor:
        """Relax the density, then do what the learned model does last."""
        if self._rest is None:
            density, _, _ = self._density(state, state.positions[:, -1])
            self._rest = torch.quantile(density, 0.9)
        for _ in range(self.steps):
            following = following + self._push(state, following, self._rest)
        return self.simulator.constrain(state, following)

    def _density(self, state: ParticleState, positions: Tensor) -> tuple[Tensor, Tensor, Edges]:
        several = state.graph if state.num_graphs > 1 else None
        edges = radius_edges(positions, self.scale.radius, state.box, several)
        away = state.box.displacement(positions[edges.dst], positions[edges.src]) / self.scale.radius
        weight = fade(away) ** 3
        return 1 + edge_sum(weight, edges)[:, 0], away, edges

    def _push(self, state: ParticleState, positions: Tensor, rest: Tensor) -> Tensor:
        density, away, edges = self._density(state, positions)
        excess = (density / rest - 1.02).clamp(min=0)
        near = (1 - away.norm(dim=1)).clamp(min=0)
        size = self.strength * self.scale.radius * near * (excess[edges.src] + excess[edges.dst])
        direction = away / away.norm(dim=1, keepdim=True).clamp(min=1e-9)
        return edge_sum(size[:, None] * direction, edges)

"""A simulator of one's own: each particle falls towards a learned centre with a learned strength, and sees nobody."""

import torch
from torch import Tensor, nn

from molgraph.nn.edges import Edges
from molgraph.particles.models.simulator import Scale, Simulator
from molgraph.particles.models.state import ParticleState


class CentralForce(Simulator):
    """Acceleration ``k (c - x)`` with learned ``k`` and ``c``."""

    def __init__(self, scale: Scale) -> None:
        super().__init__(scale)
        self.strength = nn.Parameter(torch.zeros(1))
        self.centre = nn.Parameter(torch.zeros(scale.dim))

    def find_edges(self, state: ParticleState) -> Edges:
        return state.edges(self.scale.radius)

    def normalized_acceleration(self, state: ParticleState, edges: Edges) -> Tensor:
        towards = self.centre - state.positions[:, -1].to(self.centre.dtype)
        return self.strength * towards - self.center(state) / self.spread

"""Accelerations that keep momentum: gravity is given, pair forces are equal and opposite, walls act only nearby.

state -> Surroundings without absolute place or velocity -> what a network says of pairs and bodies -> acceleration
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from molgraph.nn.edges import Edges
from molgraph.particles.models.contact import Contact, find_contact
from molgraph.particles.models.pairs import RADIAL, Pairs, local_moments, radial_basis
from molgraph.particles.models.simulator import Scale, Simulator
from molgraph.particles.models.state import ParticleState


@dataclass(frozen=True)
class Surroundings:
    """What the particles of a state have around them."""

    state: ParticleState
    """The particles."""
    velocities: Tensor
    """Their velocities ``[N, H, D]`` in length per frame."""
    pairs: Pairs
    """Their neighbours."""
    contact: Contact
    """The walls and obstacles that are near."""


class ConservingSimulator(Simulator):
    """A simulator whose accelerations are gravity, antisymmetric pair forces, and what walls do to a body.

    The acceleration of particle ``i`` is ``g + Σⱼ Fᵢⱼ + cᵢ fᵢ`` with ``Fᵢⱼ = -Fⱼᵢ`` and ``cᵢ = 0`` for a body that
    touches nothing, so that the momentum of bodies in flight changes by gravity alone, exactly (all particles have the
    same mass). Features are relative positions and velocities and past accelerations without gravity: in flight the
    motion does not depend on where a body is nor on how fast it moves. Next positions never lie behind a wall.

    A pair force is a learned multiple of the direction of the pair, of its relative velocities, and a free vector:
    pressure and attraction act along the first, friction along the second, so that directions need not be learned.

    A body that hits or rests on something is pushed as a whole, within a frame: the pressure at its foot carries all
    that is above, and is hard to say with pair forces, whose sums would have to cancel from one layer to the next. So
    the particles of such a body know how near it is to each wall, how fast they move towards it, and have an
    acceleration ``fᵢ`` of their own: a free vector plus shares of their velocity and of their past accelerations.
    ``cᵢ`` is 0 at the radius and 1 at three quarters of it (see ``contact.Contact``). A fluid
    that fills a periodic box has such accelerations as well, for its pressure comes from afar; there their mean is
    taken away.

    Args:
        scale: sizes, units and types of the data.
        embedding: size of the type embedding.
    """

    unit: Tensor
    speed: Tensor

    def __init__(self, scale: Scale, embedding: int = 16) -> None:
        super().__init__(scale)
        dim, history = scale.dim, scale.history
        self.embedding = nn.Embedding(len(scale.species), embedding)
        walls, moments = 2 * dim, 1 + 2 * dim + 2 * dim**2
        self.of_node = (history - 1) * dim + walls * (history + 4 * (1 + RADIAL)) + 1 + moments + embedding
        """Size of node features."""
        self.of_edge = dim + 1 + RADIAL + history * dim
        """Size of edge features."""
        self.of_pair, self.of_body = dim + 1 + history, 2 * dim + history - 1
        """Numbers that a network says of each pair and of each particle."""
        self.register_buffer("unit", self.acceleration_std.square().mean().sqrt(), persistent=False)
        self.register_buffer("speed", self.velocity_std.square().mean().sqrt(), persistent=False)

    @abstractmethod
    def learned_acceleration(self, around: Surroundings) -> Tensor:
        """Return the acceleration less gravity ``[N, D]``, over its spread: sums of :meth:`forces`."""

    def find_edges(self, state: ParticleState) -> Edges:
        """Return all pairs within the radius."""
        return state.edges(self.scale.radius)

    def normalized_acceleration(self, state: ParticleState, edges: Edges) -> Tensor:
        """Return ``[N, D]``: acceleration less gravity, over its spread."""
        velocities = state.velocities
        pairs = self.pairs(state, velocities, edges)
        contact = find_contact(state, pairs.vector, edges, self.scale.radius)
        return self.learned_acceleration(Surroundings(state, velocities, pairs, contact))

    def forces(self, around: Surroundings, of_pairs: Tensor, of_body: Tensor) -> Tensor:
        """Return the accelerations ``[N, D]`` that decoded numbers ``[E, of_pair]`` and ``[N, of_body]`` stand for."""
        forces, pushes = self.pair_forces(around.pairs, of_pairs), self.pushes(around.state, around.velocities, of_body)
        if all(around.state.box.periodic):
            return forces + pushes - mean_of_graphs(pushes, around.state)
        return forces + around.contact.touch.to(pushes.dtype) * pushes

    def pair_forces(self, pairs: Pairs, decoded: Tensor) -> Tensor:
        """Return the sum ``[N, D]`` of the forces ``Fᵢⱼ = f(eᵢⱼ) - f(eⱼᵢ)``; the momentum they add up to is zero."""
        free, along = decoded.split([self.scale.dim, 1 + self.scale.history], dim=1)
        forces = free + (along[:, :, None] * pairs.directions).sum(1)
        return pairs.around(forces - forces[pairs.edges.reverse])

    def pushes(self, state: ParticleState, velocities: Tensor, decoded: Tensor) -> Tensor:
        """Return the accelerations ``fᵢ`` ``[N, D]`` of particles whose body is held or hit."""
        dim, past = self.scale.dim, self.scale.history - 1
        free, share, echo = decoded.split([dim, dim, past], dim=1)
        moving = ((velocities[:, -1] + state.gravity) / self.speed).to(free.dtype)
        return free + share * moving + (echo[:, :, None] * self.felt(state, velocities)).sum(1)

    def felt(self, state: ParticleState, velocities: Tensor) -> Tensor:
        """Return past accelerations without gravity ``[N, H - 1, D]``: what a particle felt of others and of walls."""
        felt = (velocities[:, 1:] - velocities[:, :-1] - state.gravity[:, None]) / self.unit
        return felt.to(self.unit.dtype)

    def node_features(self, around: Surroundings) -> Tensor:
        """Return past accelerations without gravity, nearness of walls, type embedding and moments.

        A wall is met within a fraction of a frame, so its distance is seen sharply: now, and where free flight leads.
        """
        state, velocities, contact = around.state, around.velocities, around.contact
        near = torch.cat([contact.own, contact.body], dim=1).flatten(1)
        towards = contact.walls[:, :, None] * (contact.normals @ velocities.transpose(1, 2)) / self.speed  # [N, W, H]
        features = [self.felt(state, velocities).flatten(1), near, radial_basis(1 - near[:, :, None]).flatten(1)]
        features += [towards.flatten(1), contact.obstacle, self.embedding(state.species), local_moments(around.pairs)]
        return torch.cat([feature.to(self.unit.dtype) for feature in features], dim=1)

    def pairs(self, state: ParticleState, velocities: Tensor, edges: Edges) -> Pairs:
        """Return the pairs of neighbours in the units of the model."""
        now = state.positions[:, -1]
        vector = state.box.displacement(now[edges.src], now[edges.dst]) / self.scale.radius
        relative = (velocities[edges.src] - velocities[edges.dst]) / self.scale.relative_std
        return Pairs(edges, vector.to(self.unit.dtype), relative.to(self.unit.dtype))

    def center(self, state: ParticleState) -> Tensor:
        """Return gravity."""
        return state.gravity

    @property
    def spread(self) -> Tensor:
        """That of all axes together."""
        return self.unit

    def constrain(self, state: ParticleState, following: Tensor) -> Tensor:
        """Return positions such that no particle ends a frame behind a wall."""
        return state.box.clamp(following)


def mean_of_graphs(values: Tensor, state: ParticleState) -> Tensor:
    """For each particle the mean ``[N, D]`` of ``values`` over its group."""
    total = values.new_zeros(state.num_graphs, values.shape[1]).index_add(0, state.graph, values)
    return (total / torch.bincount(state.graph, minlength=state.num_graphs)[:, None])[state.graph]

"""A simulator that keeps momentum: gravity is given, pair forces are equal and opposite, walls act only nearby.

state -> features without absolute place or velocity -> blocks (and a grid) -> pair forces + pushes in touch + gravity
"""

from __future__ import annotations

from itertools import zip_longest

import torch
from torch import Tensor, nn

from .contact import Contact, find_contact
from .grid import GridContext, lay_grid
from .interaction import InteractionBlock, decoder_mlp, latent_mlp, message_passing, still
from .neighbors import Edges
from .pairs import MOMENT, RADIAL, Pairs, edge_features, local_moments, radial_basis
from .simulator import Scale, Simulator
from .state import ParticleState


class ConservativeSimulator(Simulator):
    """Message passing whose accelerations are gravity, antisymmetric pair forces, and what walls do to a body.

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
    ``cᵢ`` is 0 at the radius and 1 at three quarters of it (see :class:`~molgraph.particles.contact.Contact`). A fluid
    that fills a periodic box has such accelerations as well, for its pressure comes from afar; there their mean is
    taken away.

    Args:
        scale: sizes, units and types of the data.
        width: size of latents.
        blocks: rounds of message passing.
        hidden: hidden layers of each MLP.
        embedding: size of the type embedding.
        feedback: whether each block sees the acceleration of those before it, see :class:`Feedback`; a quarter slower.
        grid: whether particles also learn, over a coarse grid, what is many radii away, see
            :class:`~molgraph.particles.grid.GridContext`; then two blocks of one hidden layer are enough. The forces
            inside a body in flight may then depend on where it lies on the grid, and on walls and bodies around; its
            momentum does not.
    """

    unit: Tensor
    speed: Tensor

    def __init__(
        self,
        scale: Scale,
        width: int = 128,
        blocks: int = 10,
        hidden: int = 2,
        embedding: int = 16,
        feedback: bool = False,
        grid: bool = False,
    ) -> None:
        super().__init__(scale)
        dim, history = scale.dim, scale.history
        self.embedding = nn.Embedding(len(scale.species), embedding)
        walls, moments = 2 * dim, 1 + 2 * dim + 2 * dim**2
        inputs = (history - 1) * dim + walls * (history + 4 * (1 + RADIAL)) + 1 + moments + embedding
        self.encode_nodes = latent_mlp(inputs, width, "silu", hidden)
        self.encode_edges = latent_mlp(dim + 1 + RADIAL + history * dim, width, "silu", hidden)
        self.blocks = nn.ModuleList(InteractionBlock(width, "silu", hidden) for _ in range(blocks))
        of_pair, of_body = dim + 1 + history, 2 * dim + history - 1
        self.decode_pairs = still(decoder_mlp(width, width, of_pair, "silu", hidden))
        self.decode_body = still(decoder_mlp(width, width, of_body, "silu", hidden))
        between = range(blocks - 1)
        self.context = nn.ModuleList(GridContext(width, dim) for _ in between if grid)
        self.feedback = nn.ModuleList(Feedback(width, dim, of_pair, of_body) for _ in between if feedback)
        self.register_buffer("unit", self.acceleration_std.square().mean().sqrt(), persistent=False)
        self.register_buffer("speed", self.velocity_std.square().mean().sqrt(), persistent=False)

    def find_edges(self, state: ParticleState) -> Edges:
        """All pairs within the radius."""
        return state.edges(self.scale.radius)

    def normalized_acceleration(self, state: ParticleState, edges: Edges) -> Tensor:
        """``[N, D]``: acceleration less gravity, over its spread."""
        velocities = state.velocities
        pairs = self.pairs(state, velocities, edges)
        contact = find_contact(state, pairs.vector, edges, self.scale.radius)
        nodes = self.encode_nodes(self.node_features(state, velocities, contact, local_moments(pairs)))
        links = self.encode_edges(edge_features(pairs))

        def accelerations(of_pairs: Tensor, of_body: Tensor) -> Tensor:
            forces, pushes = self.pair_forces(pairs, of_pairs), self.pushes(state, velocities, of_body)
            if all(state.box.periodic):
                return forces + pushes - mean_of_graphs(pushes, state)
            return forces + contact.touch.to(pushes.dtype) * pushes

        total = pairs.vector.new_zeros(())
        grid = lay_grid(state, SPACING * self.scale.radius) if self.context else None
        for block, context, feedback in zip_longest(self.blocks, self.context, self.feedback):
            nodes, links = message_passing([block], nodes, links, edges)
            if isinstance(context, GridContext):
                nodes = nodes + context(nodes, grid)
            if isinstance(feedback, Feedback):
                total = total + accelerations(feedback.decode_pairs(links), feedback.decode_body(nodes))
                nodes = nodes + feedback(total, pairs)
        return total + accelerations(self.decode_pairs(links), self.decode_body(nodes))

    def pair_forces(self, pairs: Pairs, decoded: Tensor) -> Tensor:
        """Sum ``[N, D]`` of the forces ``Fᵢⱼ = f(eᵢⱼ) - f(eⱼᵢ)``; the momentum they add up to is zero."""
        free, along = decoded.split([self.scale.dim, 1 + self.scale.history], dim=1)
        forces = free + (along[:, :, None] * pairs.directions).sum(1)
        return pairs.around(forces - forces[pairs.edges.reverse])

    def pushes(self, state: ParticleState, velocities: Tensor, decoded: Tensor) -> Tensor:
        """The accelerations ``fᵢ`` ``[N, D]`` of particles whose body is held or hit."""
        dim, past = self.scale.dim, self.scale.history - 1
        free, share, echo = decoded.split([dim, dim, past], dim=1)
        moving = ((velocities[:, -1] + state.gravity) / self.speed).to(free.dtype)
        return free + share * moving + (echo[:, :, None] * self.felt(state, velocities)).sum(1)

    def felt(self, state: ParticleState, velocities: Tensor) -> Tensor:
        """Past accelerations without gravity ``[N, H - 1, D]``: what a particle felt of others and of walls."""
        felt = (velocities[:, 1:] - velocities[:, :-1] - state.gravity[:, None]) / self.unit
        return felt.to(self.unit.dtype)

    def node_features(self, state: ParticleState, velocities: Tensor, contact: Contact, moments: Tensor) -> Tensor:
        """Past accelerations without gravity, walls and velocities towards those in touch, type embedding, moments.

        A wall is met within a fraction of a frame, so its distance is seen sharply: now, and where free flight leads.
        """
        near = torch.cat([contact.own, contact.body], dim=1).flatten(1)
        towards = contact.walls[:, :, None] * (contact.normals @ velocities.transpose(1, 2)) / self.speed  # [N, W, H]
        features = [self.felt(state, velocities).flatten(1), near, radial_basis(1 - near[:, :, None]).flatten(1)]
        features += [towards.flatten(1), contact.obstacle, self.embedding(state.species), moments]
        return torch.cat([feature.to(self.unit.dtype) for feature in features], dim=1)

    def pairs(self, state: ParticleState, velocities: Tensor, edges: Edges) -> Pairs:
        """The pairs of neighbours in the units of the model."""
        now = state.positions[:, -1]
        vector = state.box.displacement(now[edges.src], now[edges.dst]) / self.scale.radius
        relative = (velocities[edges.src] - velocities[edges.dst]) / self.scale.relative_std
        return Pairs(edges, vector.to(self.unit.dtype), relative.to(self.unit.dtype))

    def center(self, state: ParticleState) -> Tensor:
        """Gravity."""
        return state.gravity

    @property
    def spread(self) -> Tensor:
        """That of all axes together."""
        return self.unit

    def constrain(self, state: ParticleState, following: Tensor) -> Tensor:
        """No particle ends a frame behind a wall."""
        return state.box.clamp(following)


class Feedback(nn.Module):
    """What a block adds to the acceleration, and how the next one sees the sum so far: itself and its gradient.

    The acceleration of a particle is a small difference of large forces, and pressure has to cancel what the other
    forces would do to the density; so each block corrects those before it, as the steps of an iterative solver do.

    Args:
        width: size of latents.
        dim: dimensions of space.
        of_pair: numbers to decode for each pair.
        of_body: numbers to decode for each particle.
    """

    def __init__(self, width: int, dim: int, of_pair: int, of_body: int) -> None:
        super().__init__()
        self.decode_pairs = still(nn.Sequential(nn.Linear(width, of_pair)))
        self.decode_body = still(nn.Sequential(nn.Linear(width, of_body)))
        self.encode = nn.Linear(dim + dim**2, width)

    def forward(self, acceleration: Tensor, pairs: Pairs) -> Tensor:
        """What is added to node latents ``[N, F]``, from the acceleration ``[N, D]`` so far."""
        relative = acceleration[pairs.edges.src] - acceleration[pairs.edges.dst]
        gradient = pairs.around(pairs.products(relative)) / MOMENT
        return self.encode(torch.cat([acceleration, gradient], dim=1))


SPACING = 0.8
"""Distance of the nodes of the grid in radii."""


def mean_of_graphs(values: Tensor, state: ParticleState) -> Tensor:
    """For each particle the mean ``[N, D]`` of ``values`` over its group."""
    total = values.new_zeros(state.num_graphs, values.shape[1]).index_add(0, state.graph, values)
    return (total / torch.bincount(state.graph, minlength=state.num_graphs)[:, None])[state.graph]

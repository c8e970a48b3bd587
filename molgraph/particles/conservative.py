"""A simulator that keeps momentum: gravity is given, pair forces are equal and opposite, walls act only nearby.

state -> features without absolute place or velocity -> blocks -> pair forces + wall forces + gravity
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molgraph.nn.segments import segment_sum

from .interaction import InteractionBlock, decoder_mlp, latent_mlp, message_passing
from .neighbors import Edges
from .simulator import Scale, Simulator
from .space import Box
from .state import ParticleState


class ConservativeSimulator(Simulator):
    """Message passing whose accelerations are gravity, antisymmetric pair forces, and forces of near walls.

    The acceleration of particle ``i`` is ``g + Σⱼ Fᵢⱼ + Σ_w gate(d_w) f_w`` with ``Fᵢⱼ = -Fⱼᵢ``, so that the momentum
    of particles away from walls changes by gravity alone, exactly (all particles have the same mass). Features are
    relative positions and velocities and past accelerations without gravity: far from walls the motion does not depend
    on where the particles are nor on how fast all of them move. Walls are signed distances to the flat walls of the
    box; ``gate`` falls to 0 at the connectivity radius. Next positions never lie behind a wall.

    A pair force is a learned multiple of the direction of the pair, of its relative velocities, and a free vector:
    pressure and attraction act along the first, friction along the second, so that directions need not be learned.

    A body that rests on something feels much the same in the next frame as in the last ones, which pair forces within
    a few neighbours find hard to say. So where a chain of neighbours leads to a wall or an obstacle, a learned share of
    the past accelerations is added. Bodies that touch nothing have none, and their momentum stays exact. The same
    holds for a fluid that fills a periodic box, whose pressure comes from afar; there the mean is taken away again.

    Args:
        scale: sizes, units and types of the data.
        width: size of latents.
        blocks: rounds of message passing.
        embedding: size of the type embedding.
    """

    unit: Tensor
    speed: Tensor

    def __init__(self, scale: Scale, width: int = 128, blocks: int = 10, embedding: int = 16) -> None:
        super().__init__(scale)
        dim, history = scale.dim, scale.history
        self.embedding = nn.Embedding(len(scale.species), embedding)
        walls = 2 * dim
        inputs = (history - 1) * dim + walls * (1 + history + 2 * RADIAL) + embedding
        self.encode_nodes = latent_mlp(inputs, width, "silu")
        self.encode_edges = latent_mlp(dim + 1 + RADIAL + history * dim, width, "silu")
        self.blocks = nn.ModuleList(InteractionBlock(width, "silu") for _ in range(blocks))
        self.decode_pairs = decoder_mlp(width, width, dim + 1 + history, "silu")
        self.decode_walls = decoder_mlp(width, width, walls, "silu")
        self.decode_echo = decoder_mlp(width, width, history - 1, "silu") if history > 1 else None
        self.register_buffer("unit", self.acceleration_std.square().mean().sqrt(), persistent=False)
        self.register_buffer("speed", self.velocity_std.square().mean().sqrt(), persistent=False)

    def find_edges(self, state: ParticleState) -> Edges:
        """All pairs within the radius."""
        return state.edges(self.scale.radius)

    def normalized_acceleration(self, state: ParticleState, edges: Edges) -> Tensor:
        """``[N, D]``: acceleration less gravity, over its spread."""
        velocities = state.velocities
        gates, normals = wall_gates(state.positions[:, -1], state.box, self.scale.radius)
        vector, relative = self.pair_vectors(state, velocities, edges)
        nodes = self.encode_nodes(self.node_features(state, velocities, gates, normals))
        links = self.encode_edges(edge_features(vector, relative))
        nodes, links = message_passing(self.blocks, nodes, links, edges)
        wall_forces = (gates.to(nodes.dtype) * self.decode_walls(nodes)) @ normals.to(nodes.dtype)
        forces = self.pair_forces(vector, relative, links, edges) + wall_forces
        if self.decode_echo is None:
            return forces
        echo = (self.decode_echo(nodes)[:, :, None] * self.felt(state, velocities)).sum(1)
        if all(state.box.periodic):
            return forces + echo - mean_of_graphs(echo, state)
        return forces + support(gates, state.kinematic, edges, SUPPORT_ROUNDS).to(nodes.dtype) * echo

    def pair_forces(self, vector: Tensor, relative: Tensor, links: Tensor, edges: Edges) -> Tensor:
        """Sum ``[N, D]`` of the forces ``Fᵢⱼ = f(eᵢⱼ) - f(eⱼᵢ)``; the momentum they add up to is zero."""
        axis = vector / vector.norm(dim=1, keepdim=True).clamp(min=1e-6)
        free, along = self.decode_pairs(links).split([self.scale.dim, 1 + self.scale.history], dim=1)
        forces = free + (along[:, :, None] * torch.cat([axis[:, None], relative], dim=1)).sum(1)
        fade = (1 - vector.square().sum(1, keepdim=True)).clamp(min=0)  # forces end smoothly at the radius
        return segment_sum(fade * (forces - forces[edges.reverse]), edges.dst, edges.offsets)

    def felt(self, state: ParticleState, velocities: Tensor) -> Tensor:
        """Past accelerations without gravity ``[N, H - 1, D]``: what a particle felt of others and of walls."""
        felt = (velocities[:, 1:] - velocities[:, :-1] - state.gravity[:, None]) / self.unit
        return felt.to(self.unit.dtype)

    def node_features(self, state: ParticleState, velocities: Tensor, gates: Tensor, normals: Tensor) -> Tensor:
        """Past accelerations without gravity, nearness of walls, velocities towards near walls, type embedding.

        A wall is met within a fraction of a frame, so its distance is seen sharply: now, and where free flight leads.
        """
        felt = self.felt(state, velocities)
        towards = gates[:, :, None] * (normals @ velocities.transpose(1, 2)) / self.speed  # [N, W, H]
        flown = state.positions[:, -1] + velocities[:, -1] + state.gravity
        ahead, _ = wall_gates(flown, state.box, self.scale.radius)
        distances = [radial_basis(1 - gate.sqrt()[:, :, None]).flatten(1) for gate in (gates, ahead)]
        features = torch.cat([felt.flatten(1), gates, towards.flatten(1), *distances], dim=1).to(self.unit.dtype)
        return torch.cat([features, self.embedding(state.species)], dim=1)

    def pair_vectors(self, state: ParticleState, velocities: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
        """Relative position over radius ``[E, D]``, relative velocities over their spread ``[E, H, D]``."""
        now = state.positions[:, -1]
        vector = state.box.displacement(now[edges.src], now[edges.dst]) / self.scale.radius
        relative = (velocities[edges.src] - velocities[edges.dst]) / self.scale.relative_std
        return vector.to(self.unit.dtype), relative.to(self.unit.dtype)

    def normalize(self, state: ParticleState, acceleration: Tensor) -> Tensor:
        """Less gravity, over the spread of all axes together."""
        return (acceleration - state.gravity) / self.unit

    def denormalize(self, state: ParticleState, normalized: Tensor) -> Tensor:
        """Times the spread, plus gravity."""
        return normalized * self.unit + state.gravity

    def constrain(self, state: ParticleState, following: Tensor) -> Tensor:
        """No particle ends a frame behind a wall."""
        return state.box.clamp(following)


SUPPORT_ROUNDS = 16
"""How far along chains of neighbours the touch of a wall is known."""


def support(gates: Tensor, kinematic: Tensor, edges: Edges, rounds: int) -> Tensor:
    """Whether at most ``rounds`` edges lead from each particle to one near a wall or to a kinematic one, ``[N, 1]``."""
    touched = ((gates > 0).any(dim=1) | kinematic).to(torch.uint8)
    for _ in range(rounds):
        touched = touched.scatter_reduce(0, edges.dst, touched[edges.src], "amax")
    return touched[:, None]


def mean_of_graphs(values: Tensor, state: ParticleState) -> Tensor:
    """For each particle the mean ``[N, D]`` of ``values`` over its group."""
    total = values.new_zeros(state.num_graphs, values.shape[1]).index_add(0, state.graph, values)
    return (total / torch.bincount(state.graph, minlength=state.num_graphs)[:, None])[state.graph]


def edge_features(vector: Tensor, relative: Tensor) -> Tensor:
    """Relative position, its length, bumps over it, and relative velocities ``[E, D + 1 + RADIAL + H D]``."""
    length = vector.norm(dim=1, keepdim=True)
    return torch.cat([vector, length, radial_basis(length), relative.flatten(1)], dim=1)


def wall_gates(positions: Tensor, box: Box, radius: float) -> tuple[Tensor, Tensor]:
    """How near each wall is to each of the positions ``[N, D]``, and which way it faces.

    Returns:
        Gates ``[N, 2 D]``, 1 at the wall and smoothly 0 at the radius and without a wall; inward normals ``[2 D, D]``.
    """
    nearness = positions.new_zeros(len(positions), 2 * box.dim)
    for axis, place, sign in box.walls:
        column = axis if sign > 0 else box.dim + axis
        nearness[:, column] = (1 - sign * (positions[:, axis] - place) / radius).clamp(0, 2)
    identity = torch.eye(box.dim, dtype=positions.dtype, device=positions.device)
    return nearness.square(), torch.cat([identity, -identity])


RADIAL = 8
"""Bumps over each distance, beside the distance itself: forces between atoms and of walls are steep."""


def radial_basis(length: Tensor) -> Tensor:
    """Gaussian bumps ``[..., RADIAL]`` over a distance ``[..., 1]`` in radii (Schütt et al. 2017, section 2)."""
    centers = torch.linspace(0, 1, RADIAL, dtype=length.dtype, device=length.device)
    return torch.exp(-0.5 * ((length - centers) * (RADIAL - 1)).square())

from dataclasses import replace

import numpy as np
import pytest
import torch

from molgraph.particles.geometry.neighbors import radius_edges
from molgraph.particles.geometry.space import Box
from molgraph.particles.models.conservative_grid import ConservativeGridSimulator, Look, MessageBlock
from molgraph.particles.models.pairs import MOMENT, Pairs


@pytest.fixture
def pairs():
    positions = torch.rand(12, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    edges = radius_edges(positions, 0.4, Box.open(2))
    vector = (positions[edges.src] - positions[edges.dst]) / 0.4
    return Pairs(edges, vector, torch.zeros(len(vector), 1, 2, dtype=torch.float64))


def test_a_look_is_a_layer_over_the_edge_and_both_ends(pairs):
    look, edges = Look(5, 8).double(), pairs.edges
    nodes, features = torch.randn(12, 8).double(), torch.randn(len(edges.dst), 5).double()
    weight = torch.cat([look.edge.weight, *look.ends.weight.chunk(2)], dim=1)
    seen = torch.cat([features, nodes[edges.src], nodes[edges.dst]], dim=1)
    expected = torch.nn.functional.silu(seen @ weight.T + look.edge.bias)
    torch.testing.assert_close(look(nodes, features, edges), expected)


def test_a_block_sums_messages_that_fade_out_towards_the_radius(pairs):
    block, edges = MessageBlock(5, 8).double(), pairs.edges
    nodes, features = torch.randn(12, 8).double(), torch.randn(len(edges.dst), 5).double()
    messages = block.look(nodes, features, edges).detach().numpy()
    received = np.zeros((12, 8))
    for edge, dst in enumerate(edges.dst.tolist()):
        received[dst] += (1 - np.square(pairs.vector[edge].numpy()).sum()) * messages[edge] / MOMENT
    expected = nodes + block.node_mlp(torch.cat([nodes, torch.from_numpy(received)], dim=1))
    torch.testing.assert_close(block(nodes, features, pairs), expected)


def test_the_grid_reaches_where_messages_do_not(spoken, scale, make_state):
    torch.manual_seed(0)
    simulator = spoken(ConservativeGridSimulator(scale, 16, 2))
    state = make_state(3, dtype=torch.float64)
    places = torch.tensor([[0.2, 0.5], [0.3, 0.5], [0.6, 0.5]], dtype=torch.float64)  # the third is 1.5 radii away

    def first(places):
        still = places[:, None].expand(-1, scale.history + 1, -1)
        return simulator.acceleration(replace(state, positions=still, box=Box.open(2)))[0]

    moved = places + torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.05]])
    assert (first(moved) - first(places)).norm() > 1e-4 * first(places).norm()
    gone = places + torch.tensor([[0.0, 0.0], [0.0, 0.0], [30.0, 0.0]])
    farther = gone + torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.05]])
    torch.testing.assert_close(first(farther), first(gone))


def test_a_pair_that_meets_faster_than_any_other_is_told_no_more_than_others_are(spoken, scale, pairs):
    simulator = spoken(ConservativeGridSimulator(scale, 16, 2))
    nodes, features = torch.randn(12, 16), torch.randn(len(pairs.edges.dst), simulator.of_edge)
    usual, fast = (simulator.decode_pairs(simulator.look(nodes, factor * features, pairs.edges)) for factor in (1, 1e4))
    assert fast.abs().max() < 3 * usual.abs().max()

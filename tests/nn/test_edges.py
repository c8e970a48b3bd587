"""Sums and gathers along edges equal plain loops, with gradients that are exact."""

import pytest
import torch

from molgraph.nn.edges import (
    Edges,
    edge_softmax,
    edge_sum,
    gather_destination,
    gather_source,
    line_graph_sum,
    neighbor_sum,
    weighted_neighbor_sum,
)
from tests.nn.graphs import EDGES, make_graph


def rows(count, width=3):
    return torch.randn(count, width, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("name", EDGES)
def test_sums_over_edges_equal_plain_loops(name):
    graph = make_graph(name)
    src, dst, reverse = graph.src.tolist(), graph.dst.tolist(), graph.reverse.tolist()
    nodes, edges = rows(graph.num_nodes), rows(graph.num_edges)
    heads = torch.randn(graph.num_nodes, 2, 3, dtype=torch.float64)
    weights = rows(graph.num_edges, 2)
    neighbours, weighted, into = torch.zeros_like(nodes), torch.zeros_like(heads), torch.zeros_like(edges)
    for edge in range(len(src)):
        neighbours[dst[edge]] += nodes[src[edge]].detach()
        weighted[dst[edge]] += (weights[edge].unsqueeze(1) * heads[src[edge]]).detach()
        for other in range(len(src)):
            if dst[other] == src[edge] and other != reverse[edge]:
                into[edge] += edges[other].detach()
    same = torch.testing.assert_close
    same(neighbor_sum(nodes, graph), neighbours)
    same(weighted_neighbor_sum(heads, weights, graph), weighted)
    same(line_graph_sum(edges, graph), into)
    same(gather_source(nodes, graph), nodes[graph.src])
    same(gather_destination(nodes, graph), nodes[graph.dst])


@pytest.mark.parametrize("name", EDGES)
def test_gradients_over_edges_are_exact(name):
    graph = make_graph(name)
    nodes, edges = rows(graph.num_nodes), rows(graph.num_edges)
    heads = torch.randn(graph.num_nodes, 2, 2, dtype=torch.float64, requires_grad=True)
    weights = rows(graph.num_edges, 2)
    check = torch.autograd.gradcheck
    assert check(lambda v: neighbor_sum(v, graph), nodes)
    assert check(lambda v, w: weighted_neighbor_sum(v, w, graph), (heads, weights))
    assert check(lambda v: line_graph_sum(v, graph), edges)
    assert check(lambda v: gather_source(v, graph), nodes)
    assert check(lambda v: gather_destination(v, graph), nodes)


@pytest.mark.parametrize("name", EDGES)
def test_what_reaches_a_node_is_added_and_shared_out(name):
    graph = make_graph(name)
    values = rows(graph.num_edges)
    weights = edge_softmax(values, graph)
    for node in range(graph.num_nodes):
        into = graph.dst == node
        torch.testing.assert_close(edge_sum(values, graph)[node], values[into].sum(0))
        torch.testing.assert_close(weights[into], values[into].softmax(0))


def test_edges_count_their_nodes_also_those_that_none_reaches():
    ends = torch.tensor([1, 0])
    edges = Edges(ends, ends.flip(0), torch.tensor([1, 0]), torch.tensor([0, 1, 2, 2, 2])).to("cpu")
    assert (edges.num_nodes, edges.num_edges) == (4, 2)
    assert edge_sum(torch.tensor([[3.0], [5.0]]), edges).flatten().tolist() == [3, 5, 0, 0]

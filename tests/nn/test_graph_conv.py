import pytest
import torch

from molgraph.nn.graph import import_dgl, to_dgl
from molgraph.nn.graph_conv import GINEConv, GraphConv
from molgraph.nn.mlp import mlp
from tests.nn.graphs import EDGES, adjacency, assert_same, gradients, make_graph


def compare(ours, theirs, inputs, pairs):
    """Compare outputs, and gradients with respect to inputs and to pairs of our and their parameters."""
    assert_same(ours, theirs)
    cotangent = torch.randn_like(ours)
    mine = gradients(ours, [*inputs, *(pair[0] for pair in pairs)], cotangent)
    other = gradients(theirs, [*inputs, *(pair[1] for pair in pairs)], cotangent)
    for first, second in zip(mine, other, strict=True):
        assert_same(first, second.t() if second.shape != first.shape else second)


@pytest.mark.parametrize("name", EDGES)
def test_graph_convolution_is_that_of_dgl_with_self_loops(name):
    dgl = import_dgl()
    graph, layer = make_graph(name), GraphConv(6, 4)
    theirs = dgl.nn.GraphConv(6, 4, norm="both")
    with torch.no_grad():
        theirs.weight.copy_(layer.weight.t())
        theirs.bias.copy_(layer.bias.normal_())
    nodes = graph.node_features.rows().requires_grad_()
    output = theirs(dgl.add_self_loop(to_dgl(graph)), nodes)
    ours = layer(nodes, graph)
    cotangent = torch.randn_like(ours)
    mine = gradients(ours, [nodes, layer.bias, layer.weight], cotangent)
    other = gradients(output, [nodes, theirs.bias, theirs.weight], cotangent)
    assert_same(ours, output)
    assert_same(mine[0], other[0])
    assert_same(mine[1], other[1])
    assert_same(mine[2], other[2].t())


@pytest.mark.parametrize("name", EDGES)
def test_graph_convolution_is_the_normalized_adjacency_of_the_paper(name):
    graph, layer = make_graph(name), GraphConv(6, 4)
    nodes = graph.node_features.rows().requires_grad_()
    looped = adjacency(graph) + torch.eye(graph.num_nodes)
    scale = torch.diag(looped.sum(1).rsqrt())
    dense = scale @ looped @ scale @ nodes @ layer.weight.t() + layer.bias
    compare(layer(nodes, graph), dense, [nodes, layer.weight, layer.bias], [])


@pytest.mark.parametrize("name", EDGES)
def test_gine_is_that_of_dgl(name):
    dgl = import_dgl()
    graph, update = make_graph(name, 6, 6), mlp(6, 5, 4)
    layer, theirs = GINEConv(update), dgl.nn.GINEConv(update, init_eps=0.3, learn_eps=True)
    with torch.no_grad():
        layer.epsilon.fill_(0.3)
    nodes, edges = graph.node_features.rows().requires_grad_(), graph.edge_features.rows().requires_grad_()
    output = theirs(to_dgl(graph), nodes, edges)
    compare(layer(nodes, edges, graph), output, [nodes, edges, *update.parameters()], [(layer.epsilon, theirs.eps)])


@pytest.mark.parametrize("name", EDGES)
def test_gine_is_a_loop_over_edges(name):
    graph, update = make_graph(name, 6, 6), mlp(6, 5, 4)
    layer = GINEConv(update)
    nodes, edges = graph.node_features.rows().requires_grad_(), graph.edge_features.rows().requires_grad_()
    total = [(1 + layer.epsilon) * row for row in nodes]
    for edge, (src, dst) in enumerate(zip(graph.src.tolist(), graph.dst.tolist(), strict=True)):
        total[dst] = total[dst] + (nodes[src] + edges[edge]).relu()
    output = update(torch.stack(total))
    compare(layer(nodes, edges, graph), output, [nodes, edges, layer.epsilon, *update.parameters()], [])

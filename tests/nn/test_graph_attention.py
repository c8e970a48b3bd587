import pytest
import torch
from torch.nn import functional as F

from molgraph.nn.edges import edge_sum
from molgraph.nn.graph import import_dgl, to_dgl
from molgraph.nn.graph_attention import AttentiveContext, GATConv, GATv2Conv
from tests.nn.graphs import EDGES, adjacency, assert_same, gradients, make_graph

HEADS, WIDTH = 2, 4


def softmax_over_neighbours(scores, adjacent):
    """Normalize ``scores [dst, src]`` over the neighbours of each node; a node without any gets zeros."""
    weights = scores.masked_fill(adjacent == 0, -torch.inf).softmax(1)
    return weights.nan_to_num() * adjacent


def gat_dense(layer, nodes, graph):
    projected = layer.linear(nodes).view(-1, HEADS, WIDTH)
    heads = []
    for head in range(HEADS):
        values = projected[:, head]
        scores = (values @ layer.attention_dst[head]).unsqueeze(1) + (values @ layer.attention_src[head]).unsqueeze(0)
        heads.append(softmax_over_neighbours(F.leaky_relu(scores, 0.2), adjacency(graph)) @ values)
    return torch.cat(heads, 1) + layer.bias


def gatv2_dense(layer, nodes, graph):
    from_src, from_dst = (
        linear(nodes).view(-1, HEADS, WIDTH).transpose(0, 1) for linear in (layer.linear_src, layer.linear_dst)
    )
    heads = []
    for head in range(HEADS):
        both = F.leaky_relu(from_dst[head].unsqueeze(1) + from_src[head].unsqueeze(0), 0.2)
        scores = both @ layer.attention_vector[head]
        heads.append(softmax_over_neighbours(scores, adjacency(graph)) @ from_src[head])
    return torch.cat(heads, 1)


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize(("kind", "dense"), [(GATConv, gat_dense), (GATv2Conv, gatv2_dense)])
def test_attention_is_the_dense_formula_of_the_paper(name, kind, dense):
    graph, layer = make_graph(name), kind(6, HEADS * WIDTH, HEADS)
    nodes = graph.node_features.rows().requires_grad_()
    ours, theirs = layer(nodes, graph), dense(layer, nodes, graph)
    assert_same(ours, theirs)
    cotangent, inputs = torch.randn_like(ours), [nodes, *layer.parameters()]
    for first, second in zip(gradients(ours, inputs, cotangent), gradients(theirs, inputs, cotangent), strict=True):
        assert_same(first, second)


def dgl_twin(kind):
    """Return a layer of ours, DGL's with the same weights, and the pairs of parameters."""
    dgl, layer = import_dgl(), kind(6, HEADS * WIDTH, HEADS)
    name = kind.__name__
    theirs = getattr(dgl.nn, name)(6, WIDTH, HEADS, negative_slope=0.2, allow_zero_in_degree=True)
    if kind is GATConv:
        pairs = [
            (layer.linear.weight, theirs.fc.weight),
            (layer.attention_src, theirs.attn_l),
            (layer.attention_dst, theirs.attn_r),
            (layer.bias, theirs.bias),
        ]
    else:
        pairs = [
            (layer.linear_src.weight, theirs.fc_src.weight),
            (layer.linear_src.bias, theirs.fc_src.bias),
            (layer.linear_dst.weight, theirs.fc_dst.weight),
            (layer.linear_dst.bias, theirs.fc_dst.bias),
            (layer.attention_vector, theirs.attn),
        ]
    with torch.no_grad():
        for ours, other in pairs:
            ours.normal_()
            other.copy_(ours.view_as(other))
    return layer, theirs, pairs


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize("kind", [GATConv, GATv2Conv])
def test_attention_is_that_of_dgl(name, kind):
    graph, (layer, other, pairs) = make_graph(name), dgl_twin(kind)
    nodes = graph.node_features.rows().requires_grad_()
    ours, theirs = layer(nodes, graph), other(to_dgl(graph), nodes).flatten(1)
    assert_same(ours, theirs)
    cotangent = torch.randn_like(ours)
    mine = gradients(ours, [nodes, *(pair[0] for pair in pairs)], cotangent)
    its = gradients(theirs, [nodes, *(pair[1] for pair in pairs)], cotangent)
    for first, second in zip(mine, its, strict=True):
        assert_same(first, second.view_as(first))


@pytest.mark.parametrize("kind", [GATConv, GATv2Conv])
def test_dropout_acts_on_attention_weights_in_training_only(kind):
    graph, layer = make_graph("molecules"), kind(6, 8, 2, dropout=0.5)
    nodes = graph.node_features.rows()
    assert not torch.equal(layer(nodes, graph), layer(nodes, graph))
    layer.eval()
    assert torch.equal(layer(nodes, graph), layer(nodes, graph))


@pytest.mark.parametrize("kind", [GATConv, GATv2Conv])
def test_a_width_that_the_heads_do_not_divide_is_refused(kind):
    with pytest.raises(ValueError, match="outputs=7 is not a multiple of heads=2"):
        kind(6, 7, 2)


def attentive_loop(layer, nodes, messages, graph):
    """Attentive FP's equations 1 to 4, node by node."""
    src, dst = graph.src.tolist(), graph.dst.tolist()
    new = []
    for node in range(graph.num_nodes):
        edges = [edge for edge in range(len(src)) if dst[edge] == node]
        rows = [messages[edge] if messages is not None else nodes[src[edge]] for edge in edges]
        context = torch.zeros_like(nodes[node])
        if rows:
            scores = [F.leaky_relu(layer.score_node(nodes[node]) + layer.score_message(row), 0.01) for row in rows]
            weights = torch.cat(scores).softmax(0)
            context = sum(weight * layer.transform(row) for weight, row in zip(weights, rows, strict=True))
        new.append(layer.cell(F.elu(context).unsqueeze(0), nodes[node].unsqueeze(0)).relu()[0])
    return torch.stack(new)


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize("with_bonds", [True, False])
def test_attentive_context_is_a_loop_over_atoms(name, with_bonds):
    graph, layer = make_graph(name, 5, 5), AttentiveContext(5)
    nodes = graph.node_features.rows().requires_grad_()
    messages = graph.edge_features.rows().requires_grad_() if with_bonds else None
    ours, theirs = layer(nodes, messages, graph), attentive_loop(layer, nodes, messages, graph)
    assert_same(ours, theirs)
    inputs = [nodes, *([messages] if with_bonds else []), *layer.parameters()]
    cotangent = torch.randn_like(ours)
    for first, second in zip(gradients(ours, inputs, cotangent), gradients(theirs, inputs, cotangent), strict=True):
        assert_same(first, second)


def test_attention_weights_of_each_node_add_up_to_one():
    graph, layer = make_graph("molecules"), GATConv(6, 8, 2)
    weights = layer.attention(layer.linear(graph.node_features.rows()).view(-1, 2, 4), graph)
    totals = edge_sum(weights, graph)
    assert_same(totals, (graph.offsets.diff() > 0).float().unsqueeze(1).expand(-1, 2))

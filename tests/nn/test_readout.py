import pytest
import torch
from torch.nn import functional as F

from molgraph.nn.readout import READOUTS, readout
from tests.nn.graphs import assert_same, gradients, make_graph


def rows_of(graph, nodes):
    return [nodes[graph.node_graph == number] for number in range(graph.num_graphs)]


def total(layer, rows):
    return rows.sum(0)


def mean(layer, rows):
    return rows.sum(0) / max(1, len(rows))


def attention(layer, rows):
    return (layer.score(rows).softmax(0) * rows).sum(0)


def recurrent_attention(layer, rows):
    summary = rows.sum(0)
    for _ in range(layer.steps):
        scores = F.leaky_relu(layer.score_graph(summary.relu()) + layer.score_node(rows), 0.01)
        context = F.elu((scores.softmax(0) * layer.transform(rows)).sum(0))
        summary = layer.cell(context.unsqueeze(0), summary.unsqueeze(0))[0]
    return summary


def pma(layer, rows):
    """PyTorch's own multi-head attention for each graph; nothing to look at gives nothing but the bias."""
    memory, seed = layer.before(rows), layer.seed
    found = layer.out.bias.unsqueeze(0)
    if len(rows):
        biases = torch.cat([layer.query.bias, torch.zeros(6), layer.value.bias])
        found, _ = F.multi_head_attention_forward(
            query=seed.unsqueeze(1),
            key=memory.unsqueeze(1),
            value=memory.unsqueeze(1),
            embed_dim_to_check=6,
            num_heads=layer.heads,
            in_proj_weight=torch.cat([layer.query.weight, layer.key.weight, layer.value.weight]),
            in_proj_bias=biases,
            bias_k=None,
            bias_v=None,
            add_zero_attn=False,
            dropout_p=0.0,
            out_proj_weight=layer.out.weight,
            out_proj_bias=layer.out.bias,
        )
        found = found.squeeze(1)
    summary = layer.attention_norm(seed + found)
    return layer.norm(summary + layer.after(summary))[0]


LOOPS = {"sum": total, "mean": mean, "attention": attention, "recurrent_attention": recurrent_attention, "pma": pma}


@pytest.mark.parametrize("name", ["molecules", "empty graphs"])
@pytest.mark.parametrize("kind", READOUTS)
def test_a_readout_is_a_loop_over_graphs(kind, name):
    graph, layer = make_graph(name), readout(kind, 6)
    nodes = graph.node_features.rows().requires_grad_()
    ours = layer(nodes, graph)
    theirs = torch.stack([LOOPS[kind](layer, rows) for rows in rows_of(graph, nodes)])
    assert_same(ours, theirs)
    cotangent, inputs = torch.randn_like(ours), [nodes, *layer.parameters()]
    for first, second in zip(gradients(ours, inputs, cotangent), gradients(theirs, inputs, cotangent), strict=True):
        assert_same(first, second)


def test_an_unknown_readout_names_those_that_there_are():
    with pytest.raises(ValueError, match="readout='max' is unknown; use one of sum, mean, attention"):
        readout("max", 6)


@pytest.mark.parametrize("kind", ["attention", "recurrent_attention", "pma"])
def test_the_weights_of_the_nodes_of_a_graph_add_up_to_one(kind):
    graph, layer = make_graph("molecules"), readout(kind, 6)
    weights = layer.weights(graph.node_features.rows(), graph)
    sums = torch.zeros(3, weights.shape[1]).index_add_(0, graph.node_graph, weights)
    assert_same(sums, torch.ones_like(sums))


def test_the_heads_of_pma_divide_any_width():
    assert readout("pma", 6).heads == 3
    assert readout("pma", 300).heads == 4

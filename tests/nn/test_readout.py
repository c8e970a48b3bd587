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


LOOPS = {"sum": total, "mean": mean, "attention": attention, "recurrent_attention": recurrent_attention}


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

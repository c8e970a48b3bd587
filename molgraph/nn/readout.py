"""Nodes to graphs: ``node rows [N, F] + GraphBatch -> readout -> graph rows [B, F]``."""

from torch import Tensor, nn

from molgraph.nn.graph import GraphBatch
from molgraph.nn.segments import segment_mean, segment_softmax, segment_sum


class SumReadout(nn.Module):
    """Add the nodes of each graph: for properties that grow with the molecule."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Map ``[N, F]`` to ``[B, F]``."""
        return segment_sum(nodes, graph.node_graph, graph.graph_offsets)


class MeanReadout(SumReadout):
    """Average the nodes of each graph."""

    def forward(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Map ``[N, F]`` to ``[B, F]``."""
        return segment_mean(nodes, graph.node_graph, graph.graph_offsets)


class AttentionReadout(nn.Module):
    """Weigh the nodes of each graph by a learned score (Li et al., ICLR 2016, eq. 7, with a softmax for the gate).

    Args:
        width: features of a node.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))

    def attention(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Return the weight of each node in its graph ``[N, 1]``."""
        return segment_softmax(self.score(nodes), graph.node_graph, graph.graph_offsets)

    def forward(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Map ``[N, F]`` to ``[B, F]``."""
        return segment_sum(self.attention(nodes, graph) * nodes, graph.node_graph, graph.graph_offsets)


class RecurrentAttentionReadout(nn.Module):
    """Attentive FP's readout (Xiong et al., J. Med. Chem. 2020, eq. 5-8): the molecule is a node that attends to atoms.

    Args:
        width: features of a node.
        steps: rounds of attention and GRU update.
    """

    def __init__(self, width: int, steps: int = 2) -> None:
        super().__init__()
        self.steps = steps
        self.score_graph, self.score_node = nn.Linear(width, 1), nn.Linear(width, 1, bias=False)
        self.transform = nn.Linear(width, width)
        self.cell = nn.GRUCell(width, width)
        self.activation = nn.LeakyReLU(0.01)

    def forward(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Map ``[N, F]`` to ``[B, F]``."""
        segment, offsets = graph.node_graph, graph.graph_offsets
        summary = segment_sum(nodes, segment, offsets)
        values, node_score = self.transform(nodes), self.score_node(nodes)
        for _ in range(self.steps):
            graph_score = self.score_graph(summary.relu()).index_select(0, segment)
            weights = segment_softmax(self.activation(graph_score + node_score), segment, offsets)
            context = nn.functional.elu(segment_sum(weights * values, segment, offsets))
            summary = self.cell(context, summary)
        return summary


READOUTS: dict[str, type[nn.Module]] = {
    "sum": SumReadout,
    "mean": MeanReadout,
    "attention": AttentionReadout,
    "recurrent_attention": RecurrentAttentionReadout,
}


def readout(kind: str, width: int) -> nn.Module:
    """Return the readout called ``sum``, ``mean``, ``attention`` or ``recurrent_attention``.

    Raises:
        ValueError: another name.
    """
    if kind not in READOUTS:
        raise ValueError(f"readout={kind!r} is unknown; use one of {', '.join(READOUTS)}")
    return READOUTS[kind](width)

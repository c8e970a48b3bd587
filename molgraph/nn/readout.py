"""Nodes to graphs: ``node rows [N, F] + GraphBatch -> readout -> graph rows [B, F]``."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from molgraph.nn.graph import GraphBatch, GraphModule
from molgraph.nn.segments import segment_mean, segment_softmax, segment_sum


class SumReadout(GraphModule):
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


class WeighingReadout(GraphModule, ABC):
    """A readout that can say how much it has looked at each node."""

    @abstractmethod
    def weights(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Return the weight of each node in its graph, a column for each head or round ``[N, H]``."""


class AttentionReadout(WeighingReadout):
    """Weigh the nodes of each graph by a learned score (Li et al., ICLR 2016, eq. 7, with a softmax for the gate).

    Args:
        width: features of a node.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))

    def weights(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Return the weight of each node in its graph ``[N, 1]``."""
        return segment_softmax(self.score(nodes), graph.node_graph, graph.graph_offsets)

    def forward(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Map ``[N, F]`` to ``[B, F]``."""
        return segment_sum(self.weights(nodes, graph) * nodes, graph.node_graph, graph.graph_offsets)


class RecurrentAttentionReadout(WeighingReadout):
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

    def weights(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Return the weight of each node in its graph in each round ``[N, steps]``."""
        return torch.cat(self._rounds(nodes, graph)[1], dim=1)

    def forward(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Map ``[N, F]`` to ``[B, F]``."""
        return self._rounds(nodes, graph)[0]

    def _rounds(self, nodes: Tensor, graph: GraphBatch) -> tuple[Tensor, list[Tensor]]:
        segment, offsets = graph.node_graph, graph.graph_offsets
        summary, all_weights = segment_sum(nodes, segment, offsets), []
        values, node_score = self.transform(nodes), self.score_node(nodes)
        for _ in range(self.steps):
            graph_score = self.score_graph(summary.relu()).index_select(0, segment)
            weights = segment_softmax(self.activation(graph_score + node_score), segment, offsets)
            context = nn.functional.elu(segment_sum(weights * values, segment, offsets))
            summary = self.cell(context, summary)
            all_weights.append(weights)
        return summary, all_weights


class AttentionPooling(WeighingReadout):
    """Set Transformer's pooling by multi-head attention (Lee et al., ICML 2019, eq. 11): a learned seed asks the nodes.

    ``PMA(Z) = MAB(s, rFF(Z))`` with ``MAB(s, Y) = LN(H + rFF(H))``, ``H = LN(s + Multihead(s, Y, Y))``. The nodes of
    all graphs lie in one table, so nothing is padded.

    Args:
        width: features of a node.
        heads: attention heads at most; the largest number up to it that divides ``width`` is taken.
    """

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = max(number for number in range(1, heads + 1) if width % number == 0)
        self.seed = nn.Parameter(torch.empty(1, width))
        nn.init.xavier_uniform_(self.seed)
        self.before = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        # A bias of the keys moves all scores of a graph alike: the softmax does not see it.
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.after = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def weights(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Return the weight of each node in its graph, for each head ``[N, heads]``."""
        return self._weights(self.before(nodes), graph)

    def _weights(self, rows: Tensor, graph: GraphBatch) -> Tensor:
        # (W rows) q = rows (W' q): one product of N rows with a vector for each head.
        query = self.query(self.seed).view(self.heads, -1, 1)
        asked = (self.key.weight.view(self.heads, -1, rows.shape[-1]) * query).sum(1)
        scores = rows @ asked.t() * query.shape[1] ** -0.5
        return segment_softmax(scores, graph.node_graph, graph.graph_offsets)

    def forward(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Map ``[N, F]`` to ``[B, F]``."""
        rows = self.before(nodes)
        values = self.value(rows).unflatten(-1, (self.heads, -1))
        weighted = (self._weights(rows, graph).unsqueeze(-1) * values).flatten(1)
        found = self.out(segment_sum(weighted, graph.node_graph, graph.graph_offsets))
        summary = self.attention_norm(self.seed + found)
        return self.norm(summary + self.after(summary))


READOUTS: dict[str, type[nn.Module]] = {
    "sum": SumReadout,
    "mean": MeanReadout,
    "attention": AttentionReadout,
    "recurrent_attention": RecurrentAttentionReadout,
    "pma": AttentionPooling,
}


def readout(kind: str, width: int) -> nn.Module:
    """Return the readout called ``sum``, ``mean``, ``attention``, ``recurrent_attention`` or ``pma``.

    Raises:
        ValueError: another name.
    """
    if kind not in READOUTS:
        raise ValueError(f"readout={kind!r} is unknown; use one of {', '.join(READOUTS)}")
    return READOUTS[kind](width)

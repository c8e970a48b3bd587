"""Graph attention: a node becomes a weighted sum of its neighbours, with weights that look at both ends.

``node rows [N, F] + GraphBatch -> GATConv | GATv2Conv -> node rows [N, heads * H]``
"""

import torch
from torch import Tensor, nn

from molgraph.nn.edges import edge_softmax, edge_sum, gather_destination, gather_source, weighted_neighbor_sum
from molgraph.nn.graph import GraphBatch, GraphModule


class GATConv(GraphModule):
    """Graph attention (Veličković et al., ICLR 2018, eq. 1-6).

    ``αᵢⱼ = softmaxⱼ leakyrelu(aₛ·W hⱼ + a_d·W hᵢ)``, ``h'ᵢ = Σⱼ αᵢⱼ W hⱼ``.
    The heads stand side by side in the output. A node does not attend to itself: the caller adds the residual.

    Args:
        inputs: features of a node that come in.
        outputs: features of a node that go out, all heads together.
        heads: number of heads; divides ``outputs``.
        dropout: probability of dropping an attention weight.
        slope: negative slope of the leaky ReLU.
    """

    def __init__(self, inputs: int, outputs: int, heads: int = 4, dropout: float = 0.0, slope: float = 0.2) -> None:
        super().__init__()
        self.heads, self.width = heads, _width(outputs, heads)
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.attention_src = nn.Parameter(torch.empty(heads, self.width))
        self.attention_dst = nn.Parameter(torch.empty(heads, self.width))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.activation, self.dropout = nn.LeakyReLU(slope), nn.Dropout(dropout)
        for weight in (self.linear.weight, self.attention_src, self.attention_dst):
            nn.init.xavier_normal_(weight, gain=nn.init.calculate_gain("relu"))

    def attention(self, projected: Tensor, graph: GraphBatch) -> Tensor:
        """Return the attention weights ``[E, heads]`` for projected rows ``[N, heads, H]``."""
        # a·[hᵢ, hⱼ] splits into two products of node rows, N instead of E of them; all heads in one matrix product.
        own = torch.eye(self.heads, dtype=self.attention_src.dtype, device=projected.device).unsqueeze(1)
        blocks = [vector.unsqueeze(2) * own for vector in (self.attention_src, self.attention_dst)]
        scores = projected.flatten(1) @ torch.cat(blocks, dim=2).flatten(0, 1)
        from_src, from_dst = scores.split(self.heads, dim=1)
        both = from_src.index_select(0, graph.src) + from_dst.index_select(0, graph.dst)
        return edge_softmax(self.activation(both), graph)

    def weights(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Return the attention weights ``[E, heads]`` for node rows ``[N, inputs]``; those into a node add up to 1."""
        return self.attention(self.linear(nodes).view(-1, self.heads, self.width), graph)

    def forward(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Map node rows ``[N, inputs]`` to ``[N, outputs]``."""
        projected = self.linear(nodes).view(-1, self.heads, self.width)
        weights = self.dropout(self.attention(projected, graph))
        mixed = weighted_neighbor_sum(projected, weights, graph)
        return mixed.flatten(1) + self.bias


class GATv2Conv(GraphModule):
    """Dynamic graph attention (Brody et al., ICLR 2022, eq. 7).

    ``αᵢⱼ = softmaxⱼ a·leakyrelu(Wₛ hⱼ + W_d hᵢ)``, ``h'ᵢ = Σⱼ αᵢⱼ Wₛ hⱼ``.

    Args:
        inputs: features of a node that come in.
        outputs: features of a node that go out, all heads together.
        heads: number of heads; divides ``outputs``.
        dropout: probability of dropping an attention weight.
        slope: negative slope of the leaky ReLU.
    """

    def __init__(self, inputs: int, outputs: int, heads: int = 4, dropout: float = 0.0, slope: float = 0.2) -> None:
        super().__init__()
        self.heads, self.width = heads, _width(outputs, heads)
        self.linear_src = nn.Linear(inputs, outputs)
        self.linear_dst = nn.Linear(inputs, outputs)
        self.attention_vector = nn.Parameter(torch.empty(heads, self.width))
        self.activation, self.dropout = nn.LeakyReLU(slope), nn.Dropout(dropout)
        for weight in (self.linear_src.weight, self.linear_dst.weight, self.attention_vector):
            nn.init.xavier_normal_(weight, gain=nn.init.calculate_gain("relu"))

    def attention(self, src_rows: Tensor, dst_rows: Tensor, graph: GraphBatch) -> Tensor:
        """Return the attention weights ``[E, heads]`` for the projected rows ``[N, heads * H]`` of both ends."""
        both = gather_source(src_rows, graph)
        both = both + gather_destination(dst_rows, graph)
        scores = (self.activation(both).view(-1, self.heads, self.width) * self.attention_vector).sum(-1)
        return edge_softmax(scores, graph)

    def weights(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Return the attention weights ``[E, heads]`` for node rows ``[N, inputs]``; those into a node add up to 1."""
        return self.attention(self.linear_src(nodes), self.linear_dst(nodes), graph)

    def forward(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Map node rows ``[N, inputs]`` to ``[N, outputs]``."""
        src_rows = self.linear_src(nodes)
        weights = self.dropout(self.attention(src_rows, self.linear_dst(nodes), graph))
        values = src_rows.view(-1, self.heads, self.width)
        mixed = weighted_neighbor_sum(values, weights, graph)
        return mixed.flatten(1)


class AttentiveContext(GraphModule):
    """A step of Attentive FP (Xiong et al., J. Med. Chem. 2020, eq. 1-4): attend to neighbours, then a GRU update.

    ``αᵢⱼ = softmaxⱼ leakyrelu(w·[hᵢ, mⱼᵢ])``, ``cᵢ = elu(Σⱼ αᵢⱼ W mⱼᵢ)``, ``h'ᵢ = relu(GRU(cᵢ, hᵢ))``.

    Args:
        width: features of a node and of a message.
        dropout: probability of dropping a message feature.
    """

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.score_node, self.score_message = nn.Linear(width, 1), nn.Linear(width, 1, bias=False)
        self.transform = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width))
        self.cell = nn.GRUCell(width, width)
        self.activation = nn.LeakyReLU(0.01)

    def weights(self, nodes: Tensor, messages: Tensor | None, graph: GraphBatch) -> Tensor:
        """Return the attention weights ``[E, 1]``; arguments as :meth:`forward`."""
        node_score = self.score_node(nodes).index_select(0, graph.dst)
        if messages is None:
            message_score = self.score_message(nodes).index_select(0, graph.src)
        else:
            message_score = self.score_message(messages)
        return edge_softmax(self.activation(node_score + message_score), graph)

    def forward(self, nodes: Tensor, messages: Tensor | None, graph: GraphBatch) -> Tensor:
        """Map node rows ``[N, F]`` to ``[N, F]``; ``messages`` ``[E, F]``, or None for the source rows themselves."""
        weights = self.weights(nodes, messages, graph)
        if messages is None:
            # The message is the source row, so W acts on N rows, and the sum needs no [E, F] tensor.
            rows = self.transform(nodes).unsqueeze(1)
            mixed = weighted_neighbor_sum(rows, weights, graph)
            context = mixed.squeeze(1)
        else:
            context = edge_sum(weights * self.transform(messages), graph)
        return self.cell(nn.functional.elu(context), nodes).relu()


def _width(outputs: int, heads: int) -> int:
    if outputs % heads:
        raise ValueError(f"outputs={outputs} is not a multiple of heads={heads}; choose a width that the heads divide")
    return outputs // heads

"""Graph convolutions: a node becomes a function of itself and the sum of its neighbours.

``node rows [N, F] + GraphBatch -> GraphConv | GINEConv -> node rows [N, H]``
"""

import torch
from torch import Tensor, nn

from molgraph.nn.edges import edge_sum, gather_source, neighbor_sum
from molgraph.nn.graph import GraphBatch, GraphModule


class GraphConv(GraphModule):
    """Graph convolution (Kipf & Welling, ICLR 2017, eq. 2).

    ``h'ᵢ = Σⱼ (dᵢ dⱼ)^-½ W hⱼ + b`` over the neighbours ``j`` of ``i`` and ``i`` itself, the self loop of the
    paper; ``d`` counts both. The activation is left to the caller.

    Args:
        inputs: features of a node that come in.
        outputs: features of a node that go out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, nodes: Tensor, graph: GraphBatch) -> Tensor:
        """Map node rows ``[N, inputs]`` to ``[N, outputs]``."""
        scale = (graph.offsets.diff() + 1).to(nodes.dtype).rsqrt().unsqueeze(1)
        # Linear first: the gather then moves the narrower of the two widths once.
        messages = nn.functional.linear(nodes, self.weight) * scale
        return (neighbor_sum(messages, graph) + messages) * scale + self.bias


class GINEConv(GraphModule):
    """Graph isomorphism layer with edge features (Hu et al., ICLR 2020).

    ``h'ᵢ = f((1 + ε) hᵢ + Σⱼ relu(hⱼ + eⱼᵢ))`` over the neighbours ``j`` of ``i``.

    Args:
        update: the function ``f`` on node rows, usually an MLP.
        train_epsilon: learn ``ε``, which starts at 0.
    """

    def __init__(self, update: nn.Module, train_epsilon: bool = True) -> None:
        super().__init__()
        self.update = update
        self.epsilon = nn.Parameter(torch.zeros(1), requires_grad=train_epsilon)

    def forward(self, nodes: Tensor, edges: Tensor, graph: GraphBatch) -> Tensor:
        """Map node rows ``[N, F]`` and edge rows ``[E, F]`` to ``[N, H]``."""
        messages = (gather_source(nodes, graph) + edges).relu()
        return self.update((1 + self.epsilon) * nodes + edge_sum(messages, graph))

"""An encoder of one's own: rounds in which an atom takes the largest of what its neighbours say."""

import torch
from torch import Tensor, nn

from molgraph.molecules.models.encoders import GraphEncoder
from molgraph.nn.graph import GraphBatch
from molgraph.nn.mlp import FeatureLinear


class MaxEncoder(GraphEncoder):
    """Graph to node rows ``[N, hidden]``; arguments as ``GraphEncoder``."""

    def __init__(self, node_width: int, edge_width: int, **options: int) -> None:
        super().__init__(node_width, edge_width, **options)
        self.embed_atom = FeatureLinear(node_width, self.hidden)
        self.embed_bond = FeatureLinear(edge_width, self.hidden)
        self.rounds = nn.ModuleList(nn.Linear(self.hidden, self.hidden) for _ in range(self.num_layers))

    def forward(self, graph: GraphBatch) -> Tensor:
        nodes, bonds = self.embed_atom(graph.node_features).relu(), self.embed_bond(graph.edge_features)
        for linear in self.rounds:
            messages = (linear(nodes)[graph.src] + bonds).relu()
            largest = torch.zeros_like(nodes).index_reduce(0, graph.dst, messages, "amax")
            nodes = nodes + largest
        return nodes

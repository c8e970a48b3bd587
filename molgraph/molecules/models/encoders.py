"""Graph encoders: ``GraphBatch -> rounds of message passing -> node rows [N, hidden]``; a class for each ``model=``."""

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from molgraph.molecules.graphs.features import ATOM_WIDTH, BOND_WIDTH
from molgraph.nn.edges import edge_sum, gather_source, line_graph_sum
from molgraph.nn.graph import Features, GraphBatch, GraphModule
from molgraph.nn.graph_attention import AttentiveContext, GATConv, GATv2Conv
from molgraph.nn.graph_conv import GINEConv, GraphConv
from molgraph.nn.mlp import FeatureLinear, mlp
from molgraph.nn.mlp import normalization as build_normalization
from molgraph.training.config import instantiate


class GraphEncoder(GraphModule):
    """Atoms that learn from their neighbourhood.

    Args:
        node_width: features of an atom.
        edge_width: features of a bond.
        hidden: width of the node rows that come out.
        layers: rounds of message passing.
        dropout: probability of dropping a hidden feature.
        normalization: ``batch``, ``layer`` or ``none``, after each round.
        residual: add the rows that went into a round to those that come out.
    """

    def __init__(
        self,
        node_width: int,
        edge_width: int,
        hidden: int = 300,
        layers: int = 4,
        dropout: float = 0.0,
        normalization: str = "batch",
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.hidden, self.residual = hidden, residual
        self.node_width, self.edge_width, self.num_layers = node_width, edge_width, layers
        self.norm_kind = normalization
        self.dropout = nn.Dropout(dropout)

    def norms(self) -> nn.ModuleList:
        """Return one normalization for each round."""
        return nn.ModuleList(build_normalization(self.norm_kind, self.hidden) for _ in range(self.num_layers))

    @abstractmethod
    def forward(self, graph: GraphBatch) -> Tensor:
        """Map a batch of graphs to node rows ``[N, hidden]``."""


class Convolutional(GraphEncoder):
    """Rounds of one graph convolution, each with normalization, ReLU, dropout and residual.

    Arguments as :class:`GraphEncoder`.
    """

    def __init__(self, node_width: int, edge_width: int, **options: int | float | str | bool) -> None:
        super().__init__(node_width, edge_width, **options)  # type: ignore[arg-type]
        self.embedding = FeatureLinear(node_width, self.hidden)
        self.convolutions = nn.ModuleList(self.convolution() for _ in range(self.num_layers))
        self.normalizations = self.norms()

    @abstractmethod
    def convolution(self) -> nn.Module:
        """Return one new layer, ``hidden`` to ``hidden``."""

    def forward(self, graph: GraphBatch) -> Tensor:
        """Map a batch of graphs to node rows ``[N, hidden]``."""
        nodes = self.embedding(graph.node_features).relu()
        for convolution, norm in zip(self.convolutions, self.normalizations, strict=True):
            update = self.dropout(norm(convolution(nodes, graph)).relu())
            nodes = nodes + update if self.residual else update
        return nodes


class GCN(Convolutional):
    """Graph convolutional network (Kipf & Welling, ICLR 2017): symmetric normalization, self loops."""

    def convolution(self) -> nn.Module:
        """Return one graph convolution."""
        return GraphConv(self.hidden, self.hidden)


class GAT(Convolutional):
    """Graph attention network (Veličković et al., ICLR 2018).

    Args:
        node_width: features of an atom.
        edge_width: features of a bond.
        heads: attention heads; divides ``hidden``.
        options: as :class:`GraphEncoder`.
    """

    conv_class: type[nn.Module] = GATConv

    def __init__(self, node_width: int, edge_width: int, heads: int = 4, **options: int | float | str | bool) -> None:
        self.heads = heads
        super().__init__(node_width, edge_width, **options)

    def convolution(self) -> nn.Module:
        """Return one layer of attention."""
        return self.conv_class(self.hidden, self.hidden, self.heads)


class GATv2(GAT):
    """Graph attention network with dynamic attention (Brody et al., ICLR 2022)."""

    conv_class = GATv2Conv


class GINE(Convolutional):
    """Graph isomorphism network with bond features in each message (Hu et al., ICLR 2020)."""

    def __init__(self, node_width: int, edge_width: int, **options: int | float | str | bool) -> None:
        super().__init__(node_width, edge_width, **options)
        self.bonds = nn.ModuleList(FeatureLinear(edge_width, self.hidden) for _ in range(self.num_layers))

    def convolution(self) -> nn.Module:
        """Return one layer whose update is a perceptron of two linear layers."""
        return GINEConv(mlp(self.hidden, self.hidden, self.hidden))

    def forward(self, graph: GraphBatch) -> Tensor:
        """Map a batch of graphs to node rows ``[N, hidden]``."""
        nodes = self.embedding(graph.node_features).relu()
        rounds = zip(self.convolutions, self.bonds, self.normalizations, strict=True)
        for convolution, bond, norm in rounds:
            update = self.dropout(norm(convolution(nodes, bond(graph.edge_features), graph)).relu())
            nodes = nodes + update if self.residual else update
        return nodes


class AttentiveFP(GraphEncoder):
    """Attentive FP (Xiong et al., J. Med. Chem. 63, 8749, 2020): attention with GRU updates.

    The first round attends to neighbours together with their bonds, the later ones to neighbours. A GRU keeps what it
    wants of the old rows, so ``residual`` adds to that only if it is asked for. Its readout is ``recurrent_attention``.

    Args:
        node_width: features of an atom.
        edge_width: features of a bond.
        layers: rounds of message passing.
        normalization: ``batch``, ``layer`` or ``none``, after each round.
        residual: add the rows that went into a round to those that come out.
        options: as :class:`GraphEncoder`.
    """

    def __init__(
        self,
        node_width: int,
        edge_width: int,
        layers: int = 3,
        normalization: str = "none",
        residual: bool = False,
        **options: Any,
    ) -> None:
        own: dict[str, Any] = {"layers": layers, "normalization": normalization, "residual": residual}
        super().__init__(node_width, edge_width, **own, **options)
        self.embedding = FeatureLinear(node_width, self.hidden)
        self.neighbor = FeatureLinear(node_width, self.hidden)
        self.bond = FeatureLinear(edge_width, self.hidden)
        self.contexts = nn.ModuleList(AttentiveContext(self.hidden, self.dropout.p) for _ in range(self.num_layers))
        self.normalizations = self.norms()
        self.activation = nn.LeakyReLU(0.01)

    def forward(self, graph: GraphBatch) -> Tensor:
        """Map a batch of graphs to node rows ``[N, hidden]``."""
        nodes = self.activation(self.embedding(graph.node_features))
        # W [neighbour, bond] splits into a part for each, so that each multiplies a small table.
        source = gather_source(self.neighbor(graph.node_features), graph)
        messages: Tensor | None = self.activation(source + self.bond(graph.edge_features))
        for context, norm in zip(self.contexts, self.normalizations, strict=True):
            update = norm(context(self.dropout(nodes), messages, graph))
            nodes = nodes + update if self.residual else update
            messages = None
        return nodes


class DMPNN(GraphEncoder):
    """Directed message passing (Yang et al., J. Chem. Inf. Model. 59, 3370, 2019), as in chemprop.

    ``h⁰ = Wᵢ [x_src, e]``, ``m = Σ h over the bonds into src, but for the reverse``, ``h = relu(h⁰ + W_h m)`` (eq.
    3-5), and at last ``relu(W_o [x, Σ h into the atom])`` (eq. 6-7). ``residual=false`` leaves out ``h⁰``.

    Args:
        node_width: features of an atom.
        edge_width: features of a bond.
        layers: rounds of message passing.
        normalization: ``batch``, ``layer`` or ``none``, at the end.
        options: as :class:`GraphEncoder`.
    """

    def __init__(
        self,
        node_width: int,
        edge_width: int,
        layers: int = 3,
        normalization: str = "none",
        **options: Any,
    ) -> None:
        own: dict[str, Any] = {"layers": layers, "normalization": normalization}
        super().__init__(node_width, edge_width, **own, **options)
        self.atom_in = FeatureLinear(node_width, self.hidden, bias=False)
        self.bond_in = FeatureLinear(edge_width, self.hidden, bias=False)
        self.message = nn.Linear(self.hidden, self.hidden, bias=False)
        self.atom_out = FeatureLinear(node_width, self.hidden)
        self.message_out = nn.Linear(self.hidden, self.hidden, bias=False)
        self.norm = build_normalization(self.norm_kind, self.hidden)

    def forward(self, graph: GraphBatch) -> Tensor:
        """Map a batch of graphs to node rows ``[N, hidden]``."""
        kinds = self._start(graph)
        start, edges = kinds.rows(), Features(kinds.table.relu(), kinds.index)
        for _ in range(self.num_layers - 1):
            if edges.index is None:
                update = self.message(self._sum_into_source(edges.table, graph))
            else:  # the linear comes before the sum, because there are fewer kinds than edges
                update = self._sum_into_source(edges.linear(self.message.weight), graph)
            # in place: the passes need neither the product nor the sum again, only what relu leaves of it
            edges = Features(self.dropout((update.add_(start) if self.residual else update).relu_()))
        incoming = edge_sum(edges.rows(), graph)
        nodes = self.message_out(incoming).add_(self.atom_out(graph.node_features)).relu_()
        return self.dropout(self.norm(nodes))

    def _start(self, graph: GraphBatch) -> Features:
        """Return ``h⁰``, a row for each kind of edge where there are fewer kinds than edges."""
        atoms, bonds, kinds = graph.node_features, graph.edge_features, graph.kinds
        if kinds is None or 2 * len(kinds.node_rows) > graph.num_edges:
            from_atoms = gather_source(self.atom_in(atoms), graph)
            return Features(from_atoms + self.bond_in(bonds))
        from_atoms = self.atom_in(Features(atoms.table, kinds.node_rows))
        return Features(from_atoms + self.bond_in(Features(bonds.table, kinds.edge_rows)), kinds.index)

    def _sum_into_source(self, edges: Tensor, graph: GraphBatch) -> Tensor:
        return line_graph_sum(edges, graph)


def build_encoder(node: dict[str, Any]) -> GraphEncoder:
    """Return the encoder of molecule graphs that a configuration node (``_target_`` and its options) describes.

    Raises:
        ValueError: an unknown class, or an option that it does not take.
    """
    return instantiate(node, node_width=ATOM_WIDTH, edge_width=BOND_WIDTH)

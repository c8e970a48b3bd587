"""Peers as their users write them, with molgraph's weights; a peer that is not installed is said and left out."""

import importlib.util

import torch
from rdkit import Chem
from torch import nn

from molgraph.molecules.graphs.convert import featurize_smiles
from molgraph.molecules.graphs.features import ATOM_WIDTH, BOND_WIDTH
from molgraph.molecules.models import encoders
from molgraph.molecules.reading.smiles import parse_valid
from molgraph.nn.graph import import_dgl, to_dgl
from molgraph.nn.mlp import mlp
from molgraph.nn.readout import MeanReadout
from molgraph.training.config import OptimizerConfig
from molgraph.training.optim import build_optimizer
from tests.benchmarks.measure import Variant

HEADS, LAYERS = 4, 4


def has(module):
    """Tell whether a peer is installed; say so once where it is not."""
    found = importlib.util.find_spec(module) is not None
    if not found and module not in _SAID:
        _SAID.add(module)
        print(f"{module} is not installed and left out: pip install '.[bench]'")
    return found


_SAID = set()


def same(ours, theirs, what):
    """Stop where two results are not equal."""
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=1e-4, msg=lambda text: f"{what} differs: {text}")


# featurization -------------------------------------------------------------------------------------------------------


def featurizers(smiles):
    """Return a variant for each peer; each checks first that it sees the same atoms and bonds."""
    variants = [Variant("RDKit's parser alone", lambda: lambda: parse_valid(smiles))]
    if has("chemprop"):
        variants.append(Variant("chemprop", lambda: _featurize_chemprop(smiles)))
    if has("chemprop") and has("cuik_molmaker"):
        variants.append(Variant("chemprop, C++, calls of 64", lambda: _featurize_compiled(smiles, 64)))
        variants.append(Variant("chemprop, C++, one call", lambda: _featurize_compiled(smiles, len(smiles))))
    if has("torch_geometric"):
        variants.append(Variant("PyG", lambda: _featurize_pyg(smiles)))
    return variants


def _featurize_chemprop(smiles):
    featurizer = chemprop_featurizer()
    made = [featurizer(Chem.MolFromSmiles(text)) for text in smiles]
    _same_counts(smiles, [(len(g.V), g.edge_index.shape[1]) for g in made], "chemprop")
    return lambda: [featurizer(Chem.MolFromSmiles(text)) for text in smiles]


def _featurize_compiled(smiles, size):
    from chemprop.featurizers.molgraph.molecule import CuikmolmakerMolGraphFeaturizer

    compiled = CuikmolmakerMolGraphFeaturizer()
    parts = [smiles[start : start + size] for start in range(0, len(smiles), size)]
    single = [compiled([text]) for text in smiles]
    _same_counts(smiles, [(len(g.V), g.edge_index.shape[1]) for g in single], "chemprop's C++")
    return lambda: [compiled(part) for part in parts]


def _featurize_pyg(smiles):
    from torch_geometric.utils import from_smiles

    _same_counts(smiles, [(g.num_nodes, g.num_edges) for g in map(from_smiles, smiles)], "PyG")
    return lambda: list(map(from_smiles, smiles))


def chemprop_featurizer():
    """Return the featurizer of chemprop's command line."""
    from chemprop.featurizers import SimpleMoleculeMolGraphFeaturizer

    return SimpleMoleculeMolGraphFeaturizer()


def _same_counts(smiles, theirs, what):
    graphs = featurize_smiles(smiles)
    ours = zip(graphs.sizes.tolist(), (graphs.edge_offsets[1:] - graphs.edge_offsets[:-1]).tolist(), strict=True)
    if list(ours) != theirs:
        raise ValueError(f"{what} sees other atoms or bonds than molgraph")


# batches -------------------------------------------------------------------------------------------------------------


def batchers(smiles, chosen):
    """Return a variant for each peer; its single graphs are made beforehand, and its batch is checked."""
    variants = [Variant("dgl.batch", lambda: _batch_dgl(smiles, chosen))]
    if has("torch_geometric"):
        variants.append(Variant("PyG", lambda: _batch_pyg(smiles, chosen)))
    if has("chemprop"):
        variants.append(Variant("chemprop", lambda: _batch_chemprop(smiles, chosen)))
    return variants


def _batch_dgl(smiles, chosen):
    dgl, graphs = import_dgl(), featurize_smiles(smiles)
    single = [to_dgl(graphs.batch([index])) for index in chosen]
    _same_edges(smiles, chosen, torch.stack(dgl.batch(single).edges()), "DGL")
    return lambda: dgl.batch(single)


def _batch_pyg(smiles, chosen):
    from torch_geometric.data import Batch
    from torch_geometric.utils import from_smiles

    data = [from_smiles(smiles[index]) for index in chosen]
    _same_edges(smiles, chosen, Batch.from_data_list(data).edge_index, "PyG")
    return lambda: Batch.from_data_list(data)


def _batch_chemprop(smiles, chosen):
    from chemprop.data import BatchMolGraph

    made = [chemprop_featurizer()(Chem.MolFromSmiles(smiles[index])) for index in chosen]
    _same_edges(smiles, chosen, BatchMolGraph(made).edge_index, "chemprop")
    return lambda: BatchMolGraph(made)


def _same_edges(smiles, chosen, edges, what):
    """Compare edges in any order."""
    batch = featurize_smiles(smiles).batch(chosen)
    ours, theirs = (dst * batch.num_nodes + src for src, dst in ((batch.src, batch.dst), edges))
    same(ours.sort().values, theirs.sort().values, f"a batch of {what}")


# models --------------------------------------------------------------------------------------------------------------


class Ours(nn.Module):
    """Encoder, mean, head."""

    def __init__(self, encoder, head):
        super().__init__()
        self.encoder, self.readout, self.head = encoder, MeanReadout(encoder.hidden), head

    def forward(self, graph):
        return self.head(self.readout(self.encoder(graph), graph))


class Layers(nn.Module):
    """A linear layer, rounds of one convolution with ReLU, mean, head: what a tutorial of PyG or DGL writes."""

    def __init__(self, convolutions, width):
        super().__init__()
        self.embedding, self.head = nn.Linear(ATOM_WIDTH, width), nn.Linear(width, 1)
        self.convolutions = nn.ModuleList(convolutions)

    def run(self, nodes, convolve, pool):
        nodes = self.embedding(nodes).relu()
        for convolution in self.convolutions:
            nodes = convolve(convolution, nodes).flatten(1).relu()
        return self.head(pool(nodes))


class PyG(Layers):
    def forward(self, data):
        from torch_geometric.nn import global_mean_pool

        edges = data.edge_index
        return self.run(data.x, lambda layer, x: layer(x, edges), lambda x: global_mean_pool(x, data.batch))


class DGL(Layers):
    def forward(self, graph):
        pool = import_dgl().nn.AvgPooling()
        return self.run(graph.ndata["features"], lambda layer, x: layer(graph, x), lambda x: pool(graph, x))


def of_model(name):
    """Return the peers that are installed and have this model."""
    if name == "D-MPNN":
        return ["chemprop"] if has("chemprop") else []
    return [*(["PyG"] if has("torch_geometric") else []), "DGL"]


def model(name, peer, parts, width):
    """Return (model, batches, optimizer) of one library, after a check against molgraph's with the same weights.

    Args:
        name: ``GCN``, ``GAT`` or ``D-MPNN``.
        peer: ``molgraph``, ``PyG``, ``DGL`` or ``chemprop``.
        parts: the SMILES of each batch.
        width: hidden features.
    """
    torch.manual_seed(0)
    graphs = [featurize_smiles(part) for part in parts]
    batches = [graph.batch(range(len(graph))) for graph in graphs]
    ours = _ours(name, width)
    if peer == "molgraph":
        return ours, batches, _optimizer(peer, ours)
    if peer == "chemprop":
        return _dmpnn(ours, parts, batches[0], width)
    theirs = {"PyG": _pyg, "DGL": _dgl}[peer](name, ours, width)
    data = [_pyg_data(batch) if peer == "PyG" else _dgl_data(batch, name == "GCN") for batch in batches]
    _check(f"{name} of {peer}", (ours, ours.encoder, batches[0]), (theirs, theirs, data[0]))
    return theirs, data, _optimizer(peer, theirs)


def _ours(name, width):
    if name == "D-MPNN":
        encoder = encoders.DMPNN(ATOM_WIDTH, BOND_WIDTH, hidden=width, layers=3, normalization="none")
        return Ours(encoder, mlp(width, width, 1))
    options = {"hidden": width, "layers": LAYERS, "normalization": "none", "residual": False}
    options |= {"heads": HEADS} if name == "GAT" else {}
    return Ours(getattr(encoders, name)(ATOM_WIDTH, BOND_WIDTH, **options), nn.Linear(width, 1))


def _check(what, *pair):
    """Compare the outputs of two models, and the gradients of their first layers."""
    results = []
    for network, holder, batch in pair:
        output = network(batch)
        output.square().mean().backward()
        results.append((output.detach(), holder.embedding.weight.grad))
        network.zero_grad()
    same(results[0][0], results[1][0], what)
    same(results[0][1], results[1][1], f"the gradient of {what}")


def _optimizer(peer, network):
    """Molgraph's own, or what everybody writes."""
    if peer == "molgraph":
        return build_optimizer(network, OptimizerConfig())
    return torch.optim.Adam(network.parameters(), 1e-4)


def _copy(pairs):
    with torch.no_grad():
        for ours, theirs in pairs:
            theirs.copy_(ours.reshape(theirs.shape))


def _shared(ours, theirs):
    embedding = ours.encoder.embedding
    return [
        (embedding.weight, theirs.embedding.weight),
        (embedding.bias, theirs.embedding.bias),
        (ours.head.weight, theirs.head.weight),
        (ours.head.bias, theirs.head.bias),
    ]


def _pyg(name, ours, width):
    from torch_geometric.nn import GATConv, GCNConv

    make = {
        "GCN": lambda: GCNConv(width, width),
        "GAT": lambda: GATConv(width, width // HEADS, HEADS, add_self_loops=False),
    }[name]
    theirs = PyG([make() for _ in range(LAYERS)], width)
    pairs = _shared(ours, theirs)
    for first, second in zip(ours.encoder.convolutions, theirs.convolutions, strict=True):
        pairs.append((first.bias, second.bias))
        if name == "GCN":
            pairs.append((first.weight, second.lin.weight))
        else:
            pairs += [(first.linear.weight, second.lin.weight)]
            pairs += [(first.attention_src, second.att_src), (first.attention_dst, second.att_dst)]
    _copy(pairs)
    return theirs


def _pyg_data(batch):
    from torch_geometric.data import Data

    edges = torch.stack([batch.src, batch.dst])
    return Data(x=batch.node_features.rows(), edge_index=edges, batch=batch.node_graph)


def _dgl(name, ours, width):
    dgl = import_dgl()
    make = {
        "GCN": lambda: dgl.nn.GraphConv(width, width, norm="both"),
        "GAT": lambda: dgl.nn.GATConv(width, width // HEADS, HEADS, allow_zero_in_degree=True),
    }[name]
    theirs = DGL([make() for _ in range(LAYERS)], width)
    pairs = _shared(ours, theirs)
    for first, second in zip(ours.encoder.convolutions, theirs.convolutions, strict=True):
        pairs.append((first.bias, second.bias))
        if name == "GCN":
            pairs.append((first.weight.t(), second.weight))
        else:
            pairs += [(first.linear.weight, second.fc.weight)]
            pairs += [(first.attention_src, second.attn_l), (first.attention_dst, second.attn_r)]
    _copy(pairs)
    return theirs


def _dgl_data(batch, loops):
    """Return a batched graph, with self loops where the layer wants them; adding them forgets what belongs together."""
    graph = to_dgl(batch)
    if not loops:
        return graph
    looped = import_dgl().add_self_loop(graph)
    looped.set_batch_num_nodes(graph.batch_num_nodes())
    looped.set_batch_num_edges(graph.batch_num_edges() + graph.batch_num_nodes())
    return looped


# D-MPNN --------------------------------------------------------------------------------------------------------------


def _dmpnn(ours, parts, batch, width):
    """Chemprop's network is checked on molgraph's features, and timed on its own, which are fewer."""
    from chemprop.data import BatchMolGraph

    twin = chemprop_network(ATOM_WIDTH, BOND_WIDTH, width)
    copy_dmpnn(ours, twin)
    same(ours(batch), twin(_chemprop_batch(batch)), "D-MPNN of chemprop")
    featurizer = chemprop_featurizer()
    made = [BatchMolGraph([featurizer(Chem.MolFromSmiles(text)) for text in part]) for part in parts]
    theirs = chemprop_network(made[0].V.shape[1], made[0].E.shape[1], width)
    return theirs, made, _optimizer("chemprop", theirs)


def chemprop_network(atoms, bonds, width):
    """Return chemprop's default network with the mean as its readout."""
    from chemprop.models import MPNN
    from chemprop.nn import BondMessagePassing, MeanAggregation, RegressionFFN

    messages = BondMessagePassing(d_v=atoms, d_e=bonds, d_h=width)
    return MPNN(messages, MeanAggregation(), RegressionFFN(input_dim=width, hidden_dim=width))


def copy_dmpnn(ours, theirs):
    """Give chemprop's network the weights of molgraph's."""
    encoder, messages = ours.encoder, theirs.message_passing
    linears = [layer for layer in theirs.predictor.ffn.modules() if isinstance(layer, nn.Linear)]
    heads = [layer for layer in ours.head if isinstance(layer, nn.Linear)]
    _copy(
        [
            (torch.cat([encoder.atom_in.weight, encoder.bond_in.weight], 1), messages.W_i.weight),
            (encoder.message.weight, messages.W_h.weight),
            (torch.cat([encoder.atom_out.weight, encoder.message_out.weight], 1), messages.W_o.weight),
            (encoder.atom_out.bias, messages.W_o.bias),
            *((first.weight, second.weight) for first, second in zip(heads, linears, strict=True)),
            *((first.bias, second.bias) for first, second in zip(heads, linears, strict=True)),
        ]
    )


def _chemprop_batch(batch):
    """Return a batch of chemprop's type with molgraph's features."""
    from chemprop.data import BatchMolGraph

    made = BatchMolGraph.__new__(BatchMolGraph)
    made.V, made.E = batch.node_features.rows(), batch.edge_features.rows()
    made.edge_index, made.rev_edge_index = torch.stack([batch.src, batch.dst]), batch.reverse
    made.batch = batch.node_graph
    return made


def tensors_of(batch):
    """Return the tensors of a batch of any library, whose memory is the data's and not the step's."""
    if hasattr(batch, "ndata"):
        return [batch.ndata["features"], *batch.edges()]
    names = ("x", "edge_index", "batch", "V", "E", "rev_edge_index", "src", "dst", "reverse", "offsets")
    names += ("node_graph", "graph_offsets")
    found = [getattr(batch, name, None) for name in names]
    features = [getattr(batch, name, None) for name in ("node_features", "edge_features")]
    found += [tensor for part in features if part is not None for tensor in (part.table, part.index)]
    kinds = getattr(batch, "kinds", None)
    found += [] if kinds is None else [kinds.node_rows, kinds.edge_rows, kinds.index]
    return [tensor for tensor in found if isinstance(tensor, torch.Tensor)]

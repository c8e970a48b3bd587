from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from molgraph.molecules.graphs.convert import featurize_smiles
from molgraph.molecules.graphs.features import ATOM_WIDTH, BOND_WIDTH
from molgraph.molecules.models.encoders import DMPNN, GCN, GINE, AttentiveFP

SMILES = ["CC(=O)Oc1ccccc1", "C[C@H](N)O", "[Na+].[Cl-]", "C"]
OPTIONS = {"hidden": 8, "layers": 3, "normalization": "none"}


@pytest.fixture
def graph():
    return featurize_smiles(SMILES).batch(range(len(SMILES)))


def assert_same_with_gradients(encoder, ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    cotangent, weights = torch.randn_like(ours), list(encoder.parameters())
    mine = torch.autograd.grad((ours * cotangent).sum(), weights, retain_graph=True)
    other = torch.autograd.grad((theirs * cotangent).sum(), weights)
    for first, second in zip(mine, other, strict=True):
        torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-4)


def edges_of(graph):
    return list(zip(graph.src.tolist(), graph.dst.tolist(), strict=True))


@pytest.mark.parametrize("residual", [True, False])
def test_dmpnn_is_the_loop_over_directed_bonds_of_the_paper(graph, residual):
    encoder = DMPNN(ATOM_WIDTH, BOND_WIDTH, **OPTIONS, residual=residual)
    atoms, bonds, edges = graph.node_features.rows(), graph.edge_features.rows(), edges_of(graph)
    start = [
        encoder.atom_in.weight @ atoms[src] + encoder.bond_in.weight @ bonds[k] for k, (src, _) in enumerate(edges)
    ]
    hidden = [row.relu() for row in start]
    zero = torch.zeros(8)
    for _ in range(2):
        message = [
            sum((hidden[j] for j, (k, w) in enumerate(edges) if w == src and k != dst), zero) for src, dst in edges
        ]
        update = [encoder.message.weight @ row for row in message]
        hidden = [((start[k] if residual else 0) + update[k]).relu() for k in range(len(edges))]
    incoming = torch.stack(
        [sum((hidden[k] for k, (_, w) in enumerate(edges) if w == v), zero) for v in range(len(atoms))]
    )
    out = F.linear(atoms, encoder.atom_out.weight, encoder.atom_out.bias)
    theirs = (out + incoming @ encoder.message_out.weight.t()).relu()
    assert_same_with_gradients(encoder, encoder(graph), theirs)


@pytest.mark.parametrize("layers", [2, 4])
def test_dmpnn_computes_the_same_for_each_kind_of_edge_as_for_each_edge(layers):
    batch = featurize_smiles(["CCCCCCO", "c1ccccc1CCCC", "CCCCC", "C", "CC(C)CC(C)CCCC"]).batch(range(5))
    assert 2 * len(batch.kinds.node_rows) <= batch.num_edges, "fewer kinds than edges, or nothing is tested"
    encoder = DMPNN(ATOM_WIDTH, BOND_WIDTH, **(OPTIONS | {"layers": layers}))
    assert_same_with_gradients(encoder, encoder(batch), encoder(replace(batch, kinds=None)))


def test_attentive_fp_attends_to_bonds_first_and_to_atoms_later(graph):
    encoder = AttentiveFP(ATOM_WIDTH, BOND_WIDTH, **OPTIONS, residual=False)
    atoms, bonds = graph.node_features.rows(), graph.edge_features.rows()
    nodes = F.leaky_relu(encoder.embedding(graph.node_features), 0.01)
    joined = torch.cat([atoms[graph.src], bonds], 1)
    weight = torch.cat([encoder.neighbor.weight, encoder.bond.weight], 1)
    messages = F.leaky_relu(joined @ weight.t() + encoder.neighbor.bias + encoder.bond.bias, 0.01)
    for context in encoder.contexts:
        rows = messages if messages is not None else nodes[graph.src]
        scores = F.leaky_relu(context.score_node(nodes)[graph.dst] + context.score_message(rows), 0.01)
        new = []
        for node in range(graph.num_nodes):
            into = graph.dst == node
            mixed = (scores[into].softmax(0) * context.transform(rows[into])).sum(0)
            new.append(context.cell(F.elu(mixed).unsqueeze(0), nodes[node].unsqueeze(0)).relu()[0])
        nodes, messages = torch.stack(new), None
    assert_same_with_gradients(encoder, encoder(graph), nodes)


def test_gine_reads_bonds_and_gcn_does_not(graph):
    from molgraph.nn.graph import Features

    other = replace(graph, edge_features=Features(torch.randn(graph.num_edges, BOND_WIDTH)))
    gine, gcn = (kind(ATOM_WIDTH, BOND_WIDTH, **OPTIONS) for kind in (GINE, GCN))
    assert not torch.allclose(gine(graph), gine(other))
    assert torch.equal(gcn(graph), gcn(other))


def test_an_atom_learns_from_as_many_bonds_away_as_there_are_layers():
    first, second = (featurize_smiles([text]).batch([0]) for text in ("CCCCCCC", "CCCCCCO"))
    for layers in (1, 3, 6):
        encoder = GCN(ATOM_WIDTH, BOND_WIDTH, hidden=8, layers=layers, normalization="none")
        differs = (encoder(first) - encoder(second)).abs().amax(1) > 1e-7
        assert differs.nonzero().min() >= 6 - layers

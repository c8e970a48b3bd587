import csv
import gzip
import random
from dataclasses import fields

import numpy as np
import pytest
import torch
from rdkit import Chem

from molgraph import smiles_to_graph
from molgraph.molecules.graphs.arrays import MoleculeGraphs, concatenate
from molgraph.molecules.graphs.convert import featurize_smiles
from molgraph.molecules.graphs.dataset import molecule_graphs
from molgraph.molecules.graphs.features import ATOM_FEATURES, ATOM_WIDTH, BOND_FEATURES, BOND_WIDTH, describe
from molgraph.molecules.reading.catalog import SHIPPED
from molgraph.molecules.reading.smiles import InvalidSmiles, Standardization, parse
from molgraph.nn.graph import from_dgl, import_dgl, to_dgl

UNUSUAL = [
    "[NH3][Pt]([NH3])(Cl)Cl",  # RDKit makes dative bonds of some of these
    "N->[Cu+2]<-N",
    "[Fe+2].C1=C[CH-]C=C1.C1=C[CH-]C=C1",
    "CC[Hg]Cl",
    "[Na+].[Cl-]",
    "C[N+](C)(C)CC([O-])=O",
    "F[P-](F)(F)(F)(F)F",
    "F/C=C/F",
    "F/C=C\\F",
    "C[C@H](N)C(=O)O",
    "C[C@@H]1CC[C@H](C)CC1",
    "C[S@](=O)CC",
    "[2H]C([2H])O",
    "[H][H]",
    "C#[O+]",
    "c1ccc2c(c1)[nH]cc2",
    "C1CC2CC1CC2",
    "[U]",
    "[Og]",
    "B1OBOBO1",
    "S(F)(F)(F)(F)(F)F",
]


def shipped(name):
    with gzip.open(SHIPPED / f"{name}.csv.gz", "rt") as file:
        return [row["smiles"] for row in csv.DictReader(file)]


def some_of(name, count):
    return [text for text in random.Random(0).sample(shipped(name), count) if Chem.MolFromSmiles(text) is not None]


def one_hot(value, values):
    return [float(value == choice) for choice in values] + [float(value not in values)]


def atom_row(atom):
    """The atom's row from the documentation, without any cleverness."""
    mol, index = atom.GetOwningMol(), atom.GetIdx()
    rings = [len(ring) for ring in mol.GetRingInfo().AtomRings() if index in ring]
    hybridizations = ["S", "SP", "SP2", "SP3", "SP2D", "SP3D", "SP3D2"]
    label = atom.GetPropsAsDict(True, True).get("_CIPCode", "unlabelled")
    marked = str(atom.GetChiralTag()) != "CHI_UNSPECIFIED"
    return [
        *one_hot(atom.GetAtomicNum(), range(1, 101)),
        *one_hot(len(atom.GetNeighbors()) + atom.GetTotalNumHs(), range(7)),
        *one_hot(atom.GetFormalCharge(), [-2, -1, 0, 1, 2]),
        *one_hot(atom.GetTotalNumHs(), range(5)),
        *one_hot(str(atom.GetHybridization()), hybridizations),
        float(atom.GetIsAromatic()),
        *one_hot(label if marked else "none", ["none", "R", "S"]),
        *one_hot(min(rings, default=0), [0, 3, 4, 5, 6, 7, 8]),
    ]


def bond_row(bond):
    return [
        *one_hot(str(bond.GetBondType()), ["SINGLE", "DOUBLE", "TRIPLE", "AROMATIC"]),
        float(bond.GetIsConjugated()),
        float(bond.IsInRing()),
        *one_hot(str(bond.GetStereo()), [f"STEREO{name}" for name in ("NONE", "Z", "E", "CIS", "TRANS")]),
    ]


def check(smiles):
    """Compare the flat arrays of many molecules with rows made atom by atom."""
    graphs = featurize_smiles(smiles)
    for start in range(0, len(smiles), 100):
        chosen = range(start, min(start + 100, len(smiles)))
        batch = graphs.batch(chosen)
        mols = [Chem.MolFromSmiles(smiles[index]) for index in chosen]
        atoms = torch.tensor([atom_row(atom) for mol in mols for atom in mol.GetAtoms()])
        assert torch.equal(batch.node_features.rows(), atoms)
        bonds, base = {}, 0
        for mol in mols:
            for bond in mol.GetBonds():
                a, b, row = base + bond.GetBeginAtomIdx(), base + bond.GetEndAtomIdx(), bond_row(bond)
                bonds[a, b] = bonds[b, a] = row
            base += mol.GetNumAtoms()
        ends = list(zip(batch.src.tolist(), batch.dst.tolist(), strict=True))
        assert sorted(ends) == sorted(bonds)
        expected = torch.tensor([bonds[pair] for pair in ends]).reshape(-1, BOND_WIDTH)
        assert torch.equal(batch.edge_features.rows(), expected)
        assert torch.equal(batch.src[batch.reverse], batch.dst)
        assert torch.equal(batch.dst, batch.dst.sort().values)


@pytest.mark.parametrize(("name", "count"), [("aqsoldb", 500), ("b3db", 400), ("logbb", 250), ("qm9_10k", 300)])
def test_features_of_shipped_molecules_are_those_of_a_slow_featurizer(name, count):
    check(some_of(name, count))


def test_features_of_unusual_molecules_are_those_of_a_slow_featurizer():
    check([text for text in UNUSUAL if Chem.MolFromSmiles(text) is not None])


def test_features_of_real_metals_and_stereo_are_those_of_a_slow_featurizer(real_data):
    with gzip.open(real_data / "hiv.csv.gz", "rt") as file:
        smiles = [row["smiles"] for row in csv.DictReader(file)]
    check([s for s in random.Random(1).sample(smiles, 200) if Chem.MolFromSmiles(s) is not None])
    check([s for s in smiles if "->" in s or "Pt" in s or "Cu" in s][:100])


def test_the_names_of_columns_fit_the_rows():
    assert len(describe(ATOM_FEATURES)) == ATOM_WIDTH == 142
    assert len(describe(BOND_FEATURES)) == BOND_WIDTH == 13


@pytest.mark.parametrize("name", ["aqsoldb", "b3db"])
def test_features_do_not_depend_on_the_order_of_atoms(name):
    for text in some_of(name, 200):
        mol = Chem.MolFromSmiles(text)
        order = random.Random(1).sample(range(mol.GetNumAtoms()), mol.GetNumAtoms())
        other = Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False)
        first, second = featurize_smiles([text]), featurize_smiles([other])
        assert sorted(first.atom_codes[first.atoms].tolist()) == sorted(second.atom_codes[second.atoms].tolist())
        assert sorted(first.bond_codes[first.edges].tolist()) == sorted(second.bond_codes[second.edges].tolist())


def test_chirality_does_not_depend_on_how_the_molecule_is_written():
    rows = [featurize_smiles([text]).atom_codes[:, 6].tolist() for text in ("C[C@H](N)O", "C[C@@H](O)N")]
    assert rows[0] == rows[1] == [0, 1, 0, 0]


def test_a_batch_is_the_dgl_batch_of_single_graphs():
    dgl, smiles = import_dgl(), [*some_of("b3db", 60), "C", "[Na+].[Cl-]"]
    ours = to_dgl(featurize_smiles(smiles).batch(range(len(smiles))))
    theirs = dgl.batch([smiles_to_graph(text) for text in smiles])
    assert all(torch.equal(a, b) for a, b in zip(ours.edges(), theirs.edges(), strict=True))
    assert torch.equal(ours.ndata["features"], theirs.ndata["features"])
    assert torch.equal(ours.edata["features"], theirs.edata["features"])
    assert torch.equal(ours.batch_num_nodes(), theirs.batch_num_nodes())
    assert torch.equal(ours.batch_num_edges(), theirs.batch_num_edges())
    back = from_dgl(theirs)
    assert torch.equal(back.node_graph, featurize_smiles(smiles).batch(range(len(smiles))).node_graph)


def test_a_batch_is_any_choice_of_molecules_in_any_order():
    graphs = featurize_smiles(some_of("logbb", 30))
    chosen = [7, 3, 3, 21]
    single = [graphs.batch([index]) for index in chosen]
    batch = graphs.batch(chosen)
    assert torch.equal(batch.node_features.rows(), torch.cat([one.node_features.rows() for one in single]))
    assert torch.equal(batch.edge_features.rows(), torch.cat([one.edge_features.rows() for one in single]))
    assert batch.num_graphs == 4
    nothing = graphs.batch([])
    assert (nothing.num_nodes, nothing.num_edges, nothing.num_graphs) == (0, 0, 0)


def test_each_edge_is_of_the_kind_of_its_source_and_its_bond():
    graphs = featurize_smiles(some_of("logbb", 30))
    for chosen in (range(30), [4, 4, 17], []):
        batch = graphs.batch(chosen)
        kinds = batch.kinds
        assert torch.equal(kinds.node_rows[kinds.index], batch.node_features.index[batch.src])
        assert torch.equal(kinds.edge_rows[kinds.index], batch.edge_features.index)
        pairs = list(zip(kinds.node_rows.tolist(), kinds.edge_rows.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs) and set(kinds.index.tolist()) == set(range(len(pairs)))


def test_parts_joined_end_to_end_equal_the_whole():
    smiles = some_of("b3db", 50)
    whole, joined = (
        featurize_smiles(smiles),
        concatenate([featurize_smiles(smiles[:20]), featurize_smiles(smiles[20:])]),
    )
    first, second = whole.batch(range(len(smiles))), joined.batch(range(len(smiles)))
    assert torch.equal(first.node_features.rows(), second.node_features.rows())
    assert torch.equal(first.edge_features.rows(), second.edge_features.rows())
    assert torch.equal(first.src, second.src)
    assert np.array_equal(whole.atom_offsets, joined.atom_offsets)
    assert len(concatenate([])) == 0


def test_a_molecule_takes_about_half_a_kilobyte():
    graphs = featurize_smiles(some_of("aqsoldb", 500))
    size = sum(getattr(graphs, name).nbytes for name in [field.name for field in fields(MoleculeGraphs)])
    assert size / len(graphs) < 1000


def test_a_data_set_is_featurized_once_and_the_same_in_processes(monkeypatch, cache):
    from molgraph.molecules.graphs import dataset
    from molgraph.molecules.reading import parallel

    monkeypatch.setattr(parallel, "SMALLEST_JOB", 10)
    smiles = some_of("qm9_10k", 600)
    made = molecule_graphs(smiles, Standardization(), workers=2)
    direct = featurize_smiles(smiles)
    for name in ("atom_offsets", "edge_offsets", "src", "dst", "reverse"):
        assert np.array_equal(getattr(made, name), getattr(direct, name))
    monkeypatch.setattr(dataset, "featurize_smiles", lambda *_: pytest.fail("it is in the cache"))
    again = molecule_graphs(smiles, Standardization(), workers=0)
    assert np.array_equal(made.atoms, again.atoms)
    monkeypatch.undo()
    monkeypatch.setattr(dataset, "FEATURES_VERSION", -1)
    files = len(list(cache.glob("graphs_*")))
    molecule_graphs(smiles, Standardization(), workers=0)
    assert len(list(cache.glob("graphs_*"))) == files + 1, "another featurizer may not read the old file"


def test_a_damaged_cache_is_made_again(cache):
    smiles = some_of("qm9_10k", 300)
    first = molecule_graphs(smiles, Standardization(), workers=0)
    newest = max(cache.glob("graphs_*"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:1000])
    assert np.array_equal(molecule_graphs(smiles, Standardization(), workers=0).atoms, first.atoms)


def test_a_bad_smiles_is_no_graph():
    with pytest.raises(InvalidSmiles, match="'C1CC' is not a SMILES"):
        smiles_to_graph("C1CC")


@pytest.mark.parametrize(
    ("smiles", "options", "atoms"),
    [
        ("CCO", {}, 3),
        ("CCO", {"hydrogens": True}, 9),
        ("[Na+].CC(=O)[O-]", {}, 5),
        ("[Na+].CC(=O)[O-]", {"salts": "largest"}, 4),
        ("[Na+].CC(=O)[O-]", {"salts": "largest", "hydrogens": True}, 7),
        ("[Na+].[Cl-]", {"salts": "largest"}, 1),
    ],
)
def test_hydrogens_and_salts_are_options(smiles, options, atoms):
    assert smiles_to_graph(smiles, Standardization(**options)).num_nodes() == atoms


def test_stereo_is_an_option():
    first, second = "C[C@H](N)/C=C/F", "C[C@@H](N)/C=C\\F"
    flat, full = Standardization(stereo=False), Standardization()
    rows = [[smiles_to_graph(text, option).ndata["features"] for text in (first, second)] for option in (flat, full)]
    assert torch.equal(*rows[0])
    assert not torch.equal(*rows[1])
    bonds = [smiles_to_graph(text, flat).edata["features"] for text in (first, second)]
    assert torch.equal(*bonds)
    assert parse(first).HasSubstructMatch(parse("C=C"))


def test_an_unknown_way_to_treat_salts_is_refused():
    with pytest.raises(ValueError, match="salts='drop' is unknown; use keep or largest"):
        Standardization(salts="drop")

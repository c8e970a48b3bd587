import csv
import gzip
from dataclasses import fields

import numpy as np
import pytest
from rdkit import Chem

from molgraph.molecules.graphs import binary
from molgraph.molecules.graphs import convert as graph
from molgraph.molecules.graphs.arrays import MoleculeGraphs
from molgraph.molecules.graphs.binary import PROBES, codes_by_binary, is_understood
from molgraph.molecules.graphs.convert import featurize, featurize_valid
from molgraph.molecules.graphs.features import Codes, codes_by_getters
from molgraph.molecules.reading.catalog import SHIPPED
from molgraph.molecules.reading.smiles import parse_valid

CYCLODEXTRIN = (
    "OCC1OC2OC3C(O)C(O)C(OC3CO)OC4C(O)C(O)C(OC4CO)OC5C(O)C(O)C(OC5CO)OC6C(O)C(O)C(OC6CO)OC7C(O)C(O)C(OC7CO)"
    "OC8C(O)C(O)C(OC8CO)OC9C(O)C(O)C(OC9CO)OC1C(O)C2O"
)  # RDKit finds 264 rings, more than a byte counts
ASKED = ["*CC", "[CH3:1]O", "C" * 256, CYCLODEXTRIN]
READ = ["C", "[H][H]", "[Og]", "C" * 255, "[13CH4]", "[CH2]", "N->[Cu+2]<-N", "F[P-](F)(F)(F)(F)F", "C1CC2CC1CC2"]


def same(first, second):
    for name in Codes.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), name)


def by_binary(mols):
    return codes_by_binary([mol.ToBinary() for mol in mols], mols)


def by_getters(mols):
    return codes_by_getters(mols, [True] * len(mols))


@pytest.mark.parametrize("name", ["aqsoldb", "b3db", "logbb", "qm9_10k"])
def test_every_shipped_molecule_has_the_codes_that_the_getters_say(name):
    with gzip.open(SHIPPED / f"{name}.csv.gz", "rt") as file:
        mols, _ = parse_valid([row["smiles"] for row in csv.DictReader(file)])
    codes, known = by_binary(mols)
    assert known.mean() > 0.999
    same(codes, by_getters([mol for mol, good in zip(mols, known, strict=True) if good]))


def test_this_rdkit_is_understood():
    assert is_understood()


def test_what_is_not_understood_is_asked_and_keeps_its_place():
    mols = [Chem.MolFromSmiles(text) for text in [*READ[:5], *ASKED, *READ[5:]]]
    _, known = by_binary(mols)
    assert known.tolist() == [True] * 5 + [False] * 4 + [True] * 4
    graphs, single = featurize(mols), [featurize([mol]) for mol in mols]
    for number, one in enumerate(single):
        first, second = graphs.batch([number]), one.batch([0])
        assert first.node_features.rows().equal(second.node_features.rows())
        assert first.edge_features.rows().equal(second.edge_features.rows())
        for name in ("src", "dst", "reverse"):
            assert getattr(first, name).equal(getattr(second, name)), name


def test_nothing_known_and_no_molecules_work():
    codes, known = by_binary([Chem.MolFromSmiles("*C")])
    assert (len(codes.atoms), known.tolist()) == (0, [False])
    assert len(by_binary([])[0].atom_counts) == 0


@pytest.mark.parametrize("place", [1, 30, 31, 32, 35, 60])
@pytest.mark.parametrize("value", [0, 1, 255])
def test_another_binary_form_is_no_error(place, value):
    """Bytes that mean something else never end in an error; the probes tell that they are wrong."""
    mols = [Chem.MolFromSmiles(text) for text in PROBES]
    texts = [mol.ToBinary()[:place] + bytes([value]) + mol.ToBinary()[place + 1 :] for mol in mols]
    codes, good = binary._decode(texts, mols)
    if good.all():
        assert codes.atoms.shape == by_getters(mols).atoms.shape


def test_a_binary_form_that_has_changed_is_noticed_and_the_getters_take_over(monkeypatch):
    mols = [Chem.MolFromSmiles(text) for text in READ]
    right = featurize(mols)
    lengths = binary._BOND_LENGTH + 1
    monkeypatch.setattr(binary, "_BOND_LENGTH", lengths)
    assert not is_understood.__wrapped__()
    monkeypatch.setattr(graph, "is_understood", lambda: False)
    monkeypatch.setattr(graph, "codes_by_binary", lambda *_: pytest.fail("not understood"))
    again = featurize(mols)
    for name in [field.name for field in fields(MoleculeGraphs)]:
        np.testing.assert_array_equal(getattr(again, name), getattr(right, name), name)


def test_molecules_of_several_chunks_are_those_of_one(monkeypatch):
    mols = [Chem.MolFromSmiles(text) for text in [*READ, *ASKED] * 3]
    whole = featurize(mols)
    monkeypatch.setattr(graph, "CHUNK", 10)
    parts = featurize(mols)
    assert whole.batch(range(len(mols))).node_features.rows().equal(parts.batch(range(len(mols))).node_features.rows())
    assert np.array_equal(whole.dst, parts.dst)
    assert np.array_equal(whole.edge_offsets, parts.edge_offsets)


def test_texts_and_molecules_give_the_same_graphs():
    smiles = [*READ, "C1CC", *ASKED, "C[C@H](N)O", "", "F/C=C/F", "[13C@H](F)(Cl)Br"]
    graphs, errors = featurize_valid(smiles)
    assert errors.keys() == {len(READ), len(READ) + len(ASKED) + 2}
    mols, reasons = parse_valid(smiles)
    assert reasons == errors
    expected = featurize(mols)
    for name in [field.name for field in fields(MoleculeGraphs)]:
        np.testing.assert_array_equal(getattr(graphs, name), getattr(expected, name), name)


def test_a_chiral_molecule_is_needed_for_its_labels():
    with pytest.raises(ValueError, match="molecule 0 has chiral atoms"):
        codes_by_binary([Chem.MolFromSmiles("C[C@H](N)O").ToBinary()], [None])

"""MOSES' filters against what they are for, and the SA score against published values."""

from pathlib import Path

import pytest
from rdkit import Chem
from rdkit.Chem import RDConfig

from molgraph.molecules.models.medchem import (
    MEDICINAL,
    judge_molecules,
    passes_filters,
    synthetic_accessibility,
)


@pytest.mark.parametrize(
    ("smiles", "passes"),
    [
        ("CC(=O)Nc1ccc(O)cc1", True),  # paracetamol
        ("CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21", True),  # diazepam: a ring of seven
        ("C1CCCCCCC1", False),  # a ring of eight
        ("C[N+](C)(C)C", False),  # charged
        ("CC[Si](C)(C)C", False),  # silicon
        ("CCC=O", False),  # an aldehyde
        ("CC1CO1", False),  # an epoxide
        ("CCCBr", False),  # an alkyl bromide: a pattern that names hydrogens
        ("CCN=NCC", False),  # an azo compound
        ("CCSSCC", False),  # a disulfide
        ("O=C1C(=Cc2ccccc2)SC(=S)N1C", False),  # a benzylidene rhodanine: PAINS
    ],
)
def test_what_moses_left_out_does_not_pass(smiles, passes):
    assert passes_filters(Chem.MolFromSmiles(smiles)) is passes


def test_every_pattern_is_one():
    assert len(MEDICINAL) == 22
    assert all(Chem.MolFromSmarts(pattern) is not None for pattern in MEDICINAL)


def test_the_molecules_of_moses_pass():
    from molgraph.sequences.text.corpora import open_texts

    rows = open_texts({"name": "moses_fragments", "val": 0.05, "test": 0.05, "limit": 300}, ("smiles",)).rows("train")
    small = [text for (text,) in rows][:200]
    assert judge_molecules(small)[:, 0].mean() > 0.4  # pieces of them, whose cut ends may be what was left out


def test_accessibility_is_that_of_the_molecules_that_rdkit_publishes():
    table = Path(RDConfig.RDContribDir) / "SA_Score" / "data" / "zim.100.txt"
    rows = [line.split("\t") for line in table.read_text().splitlines()[1:]]
    assert len(rows) == 100
    for smiles, _, score in rows:
        assert synthetic_accessibility(Chem.MolFromSmiles(smiles)) == pytest.approx(float(score), abs=1e-3)


def test_none_is_none():
    assert judge_molecules([]).shape == (0, 2)

"""Nearest training molecules, against RDKit's own similarity."""

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molgraph.molecules.trust import Neighbors

TRAIN = ["CCO", "CCCO", "c1ccccc1", "Cc1ccccc1", "CC(=O)O", "CCN", "c1ccncc1", "CC(C)O"]
ASKED = ["CCCCO", "Clc1ccccc1", "CC(=O)N", "CCO"]


def test_similarities_are_those_of_rdkit_and_the_best_come_first():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    known = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in TRAIN]
    neighbors = Neighbors.of(TRAIN, np.zeros((len(TRAIN), 1)))
    rows, shares = neighbors.nearest(ASKED, 3)
    for number, text in enumerate(ASKED):
        expected = DataStructs.BulkTanimotoSimilarity(generator.GetFingerprint(Chem.MolFromSmiles(text)), known)
        assert np.allclose(shares[number], sorted(expected, reverse=True)[:3], atol=1e-6)
        assert np.allclose([expected[row] for row in rows[number]], shares[number], atol=1e-6)


def test_they_come_back_from_their_tensors_and_few_are_no_trouble():
    values = np.array([[1.0, np.nan]] * len(TRAIN))
    neighbors = Neighbors.restore(Neighbors.of(TRAIN, values).state())
    assert neighbors.smiles == TRAIN
    assert np.array_equal(neighbors.values, values, equal_nan=True)
    assert neighbors.nearest(["C"], 50)[0].shape == (1, len(TRAIN))
    assert neighbors.nearest([], 3)[0].shape == (0, 3)

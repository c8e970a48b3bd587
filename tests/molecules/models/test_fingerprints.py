import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, rdMolDescriptors

from molgraph.molecules.models import fingerprints as module
from molgraph.molecules.models.fingerprints import DESCRIPTORS, LARGEST, descriptors, fingerprints, morgan_counts
from molgraph.molecules.reading import parallel
from molgraph.molecules.reading.parallel import map_chunks
from molgraph.molecules.reading.smiles import Standardization, parse

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def test_counts_are_those_of_rdkit():
    reference = rdMolDescriptors.GetHashedMorganFingerprint(parse(ASPIRIN), 2, 2048).GetNonzeroElements()
    counts = morgan_counts(parse(ASPIRIN))
    assert {int(bit): int(counts[bit]) for bit in counts.nonzero()[0]} == reference


def test_descriptors_are_those_of_rdkit():
    values = dict(zip((name for name, _ in DESCRIPTORS), descriptors(parse(ASPIRIN)), strict=True))
    assert values["MolLogP"] == pytest.approx(Crippen.MolLogP(parse(ASPIRIN)), rel=1e-5)
    assert values["NumHDonors"] == 1
    assert len(DESCRIPTORS) > 190


@pytest.mark.parametrize("smiles", ["[U]", "[Na+].[Cl-]", "[H][H]", "C" * 400, "N->[Cu+2]<-N", "[Fe+2]", "C"])
def test_descriptors_are_finite_for_unusual_molecules(smiles):
    values = descriptors(parse(smiles))
    assert np.isfinite(values).all()
    assert np.abs(values).max() <= LARGEST


def test_fingerprints_are_computed_once(monkeypatch, cache):
    smiles = [f"{'C' * n}O" for n in range(1, 12)]
    counts, values = fingerprints(smiles, Standardization(), workers=0)
    assert (counts.shape, values.shape) == ((11, 2048), (11, len(DESCRIPTORS)))
    files = set(cache.glob("fingerprints_*"))
    again = fingerprints(smiles, Standardization(), workers=0)
    assert np.array_equal(counts, again[0])
    assert np.array_equal(values, again[1])
    assert set(cache.glob("fingerprints_*")) == files
    fingerprints(smiles, Standardization(salts="largest"), workers=0)
    assert len(set(cache.glob("fingerprints_*"))) == len(files) + 1


def test_the_parts_of_a_table_are_not_computed_again(monkeypatch):
    table = [f"{'C' * n}S" for n in range(1, 12)]
    counts, values = fingerprints(table, Standardization(), workers=0)
    monkeypatch.setattr(module, "fingerprint_chunk", None)
    part = fingerprints(table[7:2:-2], Standardization(), workers=0)
    assert np.array_equal(counts[7:2:-2], part[0])
    assert np.array_equal(values[7:2:-2], part[1])


def test_fingerprints_do_not_depend_on_the_order_of_atoms():
    mol = parse(ASPIRIN)
    other = Chem.RenumberAtoms(mol, list(range(mol.GetNumAtoms()))[::-1])
    assert np.array_equal(morgan_counts(mol), morgan_counts(other))
    np.testing.assert_allclose(descriptors(mol), descriptors(other), rtol=1e-4, atol=1e-4)


def shout(chunk):
    return [text.upper() for text in chunk]


def fail(chunk):
    raise ValueError(f"cannot do {chunk[0]}")


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_chunks_come_back_in_order(monkeypatch, workers):
    monkeypatch.setattr(parallel, "SMALLEST_JOB", 5)
    items = [f"a{n}" for n in range(23)]
    chunks = list(map_chunks(shout, items, workers, "shouting", chunk=4))
    assert [text for chunk in chunks for text in chunk] == [text.upper() for text in items]
    assert list(map_chunks(shout, [], workers, "shouting")) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_is_the_callers_error(monkeypatch, workers):
    monkeypatch.setattr(parallel, "SMALLEST_JOB", 5)
    with pytest.raises(ValueError, match="cannot do a0"):
        list(map_chunks(fail, [f"a{n}" for n in range(9)], workers, "failing", chunk=3))

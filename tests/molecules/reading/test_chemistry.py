import numpy as np
import pytest

from molgraph.molecules.reading.chemistry import (
    ATOM_PROPERTIES,
    PROPERTIES,
    atom_properties,
    brics_fragments,
    canonical_mixture,
    canonicalize_all,
    draw_grid,
    morgan_fingerprints,
    properties,
    ring_scaffold,
    scaffold_counts,
    strip_atom_maps,
)
from molgraph.molecules.reading.smiles import InvalidSmiles, parse

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def test_properties_are_those_of_rdkit():
    values = dict(zip(PROPERTIES, properties([ASPIRIN], list(PROPERTIES))[0], strict=True))
    assert values["logp"] == pytest.approx(1.3101, abs=1e-4)
    assert values["qed"] == pytest.approx(0.5501, abs=1e-3)
    assert values["weight"] == pytest.approx(180.159, abs=1e-2)
    assert values["tpsa"] == pytest.approx(63.6, abs=1e-2)


def test_properties_in_several_processes_are_the_same():
    smiles = ["C" * length for length in range(1, 51)] * 50
    assert np.array_equal(properties(smiles, ["logp"], workers=2), properties(smiles, ["logp"], workers=0))


def test_the_shares_of_the_atoms_sum_to_the_molecule():
    shares = atom_properties(ASPIRIN, list(ATOM_PROPERTIES))
    assert shares.shape == (13, 3)
    aromatic = shares[:, 2]
    assert aromatic.sum() == 6
    hydrogens = properties([ASPIRIN], ["logp"])[0, 0] - shares[:, 0].sum()
    assert 0 < hydrogens < 2  # Crippen gives hydrogens a share of their own
    assert shares[2, 1] < 0 < shares[1, 1]  # O and C of a carbonyl


def test_scaffolds_below_two_rings_do_not_count():
    assert ring_scaffold("Cc1ccc(-c2ccccc2)cc1") == "c1ccc(-c2ccccc2)cc1"
    assert scaffold_counts(["Cc1ccccc1", "CCO"]) == {}


def test_fragments_come_from_brics_bonds():
    fragments = brics_fragments("CCOc1ccccc1")
    assert len(fragments) > 1
    assert all("*" in fragment for fragment in fragments)


def test_fingerprints_of_one_molecule_are_equal_however_it_is_written():
    first, second, other = morgan_fingerprints(["CCO", "OCC", "CCN"])
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_reasons_stand_beside_what_is_no_molecule():
    (good, none), (empty, reason) = canonicalize_all(["OCC", "C1CC"])
    assert (good, none, empty) == ("CCO", "", "")
    assert "unclosed ring" in reason


def test_atom_maps_are_stripped_and_told():
    text, mapped = strip_atom_maps("[CH3:1][C:2](=[O:3])[OH:4]")
    assert (text, mapped) == ("CC(=O)O", True)
    assert strip_atom_maps("OCC") == ("OCC", False)


def test_a_mixture_is_the_same_in_every_order_and_writing():
    assert canonical_mixture("OCC.[Na+].[Cl-]") == canonical_mixture("[Cl-].C(O)C.[Na+]")
    assert canonical_mixture("[CH3:7][OH:1]") == "CO"
    with pytest.raises(InvalidSmiles):
        canonical_mixture("CC.C1")


def test_a_grid_is_a_picture(tmp_path):
    draw_grid(["CCO", ASPIRIN], tmp_path / "grid.png", ["one", "two"])
    assert (tmp_path / "grid.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="no valid molecule"):
        draw_grid([], tmp_path / "grid.png")


@pytest.mark.parametrize("function", [lambda: properties(["C"], ["colour"]), lambda: atom_properties("C", ["colour"])])
def test_an_unknown_property_names_those_that_there_are(function):
    with pytest.raises(ValueError, match="colour; there are logp"):
        function()


def test_atoms_are_in_the_order_of_the_text():
    assert [atom.GetSymbol() for atom in parse("OCN").GetAtoms()] == ["O", "C", "N"]
    assert atom_properties("Oc1ccccc1", ["aromatic"])[:, 0].tolist() == [0, 1, 1, 1, 1, 1, 1]

import pickle
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgraph.molecules.reading.smiles import (
    InvalidSmiles,
    Standardization,
    canonicalize,
    parse,
    parse_valid,
    randomize,
)

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("", "it is empty"),
        ("   ", "it is empty"),
        ("C1CC", "unclosed ring"),
        ("CC)", "extra close parentheses"),
        ("CC(C", "extra open parentheses"),
        ("not a molecule", "syntax error near character"),
        ("CX", "syntax error near character"),
        ("C(C)(C)(C)(C)C", "Explicit valence for atom # 0 C, 5, is greater than permitted"),
        ("c1cccc1", "Can't kekulize mol"),
        ("[H+3", "syntax error"),
    ],
)
def test_a_text_that_is_no_smiles_is_refused_with_its_reason(smiles, reason):
    with pytest.raises(InvalidSmiles) as caught:
        parse(smiles)
    assert reason in caught.value.reason
    assert "\n" not in caught.value.reason
    assert repr(smiles) in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="CNOcn()[]=#123@+-.%/\\ Hlé\n", max_size=12))
def test_any_text_is_a_molecule_or_refused(text):
    try:
        assert parse(text).GetNumAtoms() > 0
    except InvalidSmiles as error:
        assert error.reason


@pytest.mark.parametrize(
    "smiles", ["CC=CC", ASPIRIN, "C1CCCCC1", "c1ccccc1-c1ccncc1", "OS(=O)(=O)O", "CN(=O)=O", "C#N"]
)
def test_plain_smiles_read_the_fast_way_give_rdkits_molecule(smiles):
    ours, theirs = parse(smiles), Chem.MolFromSmiles(smiles)
    assert Chem.MolToCXSmiles(ours) == Chem.MolToCXSmiles(theirs)
    for first, second in zip(ours.GetAtoms(), theirs.GetAtoms(), strict=True):
        for name in ("GetHybridization", "GetTotalNumHs", "GetIsAromatic", "GetFormalCharge", "IsInRing"):
            assert getattr(first, name)() == getattr(second, name)()
    for first, second in zip(ours.GetBonds(), theirs.GetBonds(), strict=True):
        assert (first.GetBondType(), first.GetStereo()) == (second.GetBondType(), second.GetStereo())


def test_blanks_around_a_smiles_are_ignored():
    assert canonicalize("  OCC\n") == "CCO"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**40))
def test_random_smiles_are_the_same_molecule_and_a_seed_repeats_them(seed):
    texts = randomize(ASPIRIN, 4, seed)
    assert {canonicalize(text) for text in texts} == {canonicalize(ASPIRIN)}
    assert texts == randomize(ASPIRIN, 4, seed)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "CC(=O)[O-].[Na+]"),
        ({"salts": "largest"}, "CC(=O)[O-]"),
        ({"hydrogens": True, "salts": "largest"}, "[H]C([H])([H])C(=O)[O-]"),
    ],
)
def test_standardization_is_part_of_the_canonical_form(options, expected):
    assert canonicalize("[Na+].CC(=O)[O-]", Standardization(**options)) == expected


def test_stereo_marks_can_go():
    assert canonicalize("C[C@H](N)/C=C/F", Standardization(stereo=False)) == canonicalize("CC(N)C=CF")


def test_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(InvalidSmiles("C1CC", "unclosed ring")))
    assert (error.smiles, error.reason) == ("C1CC", "unclosed ring")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("C C ( = O ) O", "a blank inside, at character 2"),
        ("CC(=O)\u041e", "character 7 is '\u041e' (U+041E), which no SMILES has"),
        ("CCO\nCCN", "character 4 is a line break, which no SMILES has"),
        ("CC\0O", "character 3 is '\\x00' (U+0000), which no SMILES has"),
        ("\u06e1j\u1b7b\u24d7\u24ce" * 30, "character 1 is '\u06e1' (U+06E1), which no SMILES has"),
        ("50-78-2", "syntax error near character 1; it looks like a CAS number, and a SMILES is needed"),
        ("aspirin", "syntax error near character 1; it looks like a name, and a SMILES is needed"),
        ("C" * 1200, "it has 1,200 atoms, more than data.max_atoms=1000"),
    ],
)
def test_a_text_of_which_only_the_beginning_is_a_smiles_is_refused_with_the_place(text, reason):
    with pytest.raises(InvalidSmiles) as caught:
        parse(text)
    assert caught.value.reason == reason


@pytest.mark.parametrize("text", ["CCO ethanol", "CCO |$a;b;c$|", " CCO\t", "CCO \u00e9thanol", "CCO 64-17-5"])
def test_a_name_or_an_extension_after_a_smiles_is_fine(text):
    assert canonicalize(text) == "CCO"


def test_inchi_and_mol_blocks_are_read():
    assert canonicalize("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3") == "CCO"
    assert canonicalize(Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))) == "CCO"
    with pytest.raises(InvalidSmiles, match="cannot read this InChI"):
        parse("InChI=1S/nonsense")


@pytest.mark.parametrize(
    ("mapped", "plain"),
    [
        ("[CH3:5][C@H:3]([NH2:9])[C:1](=[O:2])[OH:7]", "C[C@H](N)C(=O)O"),
        ("[CH3:1][C@H:2]([CH3:3])[NH2:4]", "CC(C)N"),  # two methyl groups are no stereo centre, whatever their numbers
        ("[H:1][O:2][H:3]", "O"),
    ],
)
def test_atom_maps_do_not_change_the_molecule(mapped, plain):
    assert canonicalize(mapped) == canonicalize(plain)


@settings(max_examples=2000, deadline=1000)
@given(st.text("CNOcnos[]()=#@+-123456789%:./\\H \t\n\u041eé|", max_size=60))
def test_any_text_is_a_molecule_or_has_a_reason(text):
    mols, reasons = parse_valid([text])
    assert len(mols) + len(reasons) == 1


@pytest.mark.parametrize("behind", ["\u00a0" * 60 + "x", "\u0085 name", " молекула " * 40, " |水|", " |broken"])
@pytest.mark.parametrize("start", ["CCO", "C1CC", "C(C"])
def test_what_follows_a_smiles_may_be_in_any_script(start, behind):
    text = start + " " + behind
    try:
        assert parse(text).GetNumAtoms() == 3
    except InvalidSmiles as error:
        assert error.reason and "\n" not in error.reason


@pytest.mark.parametrize(
    ("way", "text", "expected"),
    [
        ("neutralize", "CC(=O)[O-]", "CC(=O)O"),
        ("neutralize", "C[NH3+]", "CN"),
        ("neutralize", "C[N+](C)(C)C", "C[N+](C)(C)C"),  # nothing to take away
        ("neutralize", "C[N+](=O)[O-]", "C[N+](=O)[O-]"),
        ("tautomer", "C=C(O)C", "CC(C)=O"),
        ("tautomer", "Oc1ccccn1", "O=c1cccc[nH]1"),
    ],
)
def test_charges_and_tautomers_are_brought_to_one_form(way, text, expected):
    assert canonicalize(text, Standardization(standardize=way)) == canonicalize(expected)


def test_an_unknown_form_or_one_whose_package_is_missing_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="use none, neutralize, tautomer or chembl"):
        Standardization(standardize="best")
    monkeypatch.setitem(sys.modules, "chembl_structure_pipeline", None)
    with pytest.raises(ValueError, match="pip install chembl_structure_pipeline"):
        Standardization(standardize="chembl")


def test_selfies_are_recognised_and_smiles_in_brackets_stay_what_they_are():
    pytest.importorskip("selfies")
    assert canonicalize("[C][C][O]") == "CCO"
    assert canonicalize("[C][=C][C][=C][C][=C][Ring1][=Branch1]") == "c1ccccc1"
    assert canonicalize("[Na+].[Cl-]") == canonicalize("[Cl-].[Na+]")
    assert parse("[H][H]").GetNumAtoms() >= 1
    assert parse("[CH3][CH3]").GetNumAtoms() == 2

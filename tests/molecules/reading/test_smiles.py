import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgraph.molecules.reading.smiles import InvalidSmiles, Standardization, canonicalize, parse, randomize

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

import gzip
import os
from pathlib import Path

import pytest

from molgraph.sequences.text.tokenizer import EOS, SPECIAL, UNK, Vocabulary, atoms_of_tokens, join, split

DATA = Path(os.environ.get("MOLGRAPH_DATA", Path(__file__).parents[4] / "shared" / "data"))

TRICKY = [
    "C[C@@H](Cl)Br",
    "c1ccc2[nH]ccc2c1",
    "[O-][N+](=O)c1ccccc1",
    "C%10CC%10",
    "C%(123)CC%(123)",
    "CC.O>>CCO",
    "*CC*",
    "F/C=C\\F",
]


@pytest.mark.parametrize("notation", ["smiles", "characters"])
@pytest.mark.parametrize("text", [*TRICKY, "not a SMILES!", "é\n", ""])
def test_joining_the_tokens_gives_the_text_back(text, notation):
    assert join(split(text, notation), notation) == text


def test_an_element_of_two_letters_is_one_token():
    assert split("ClCBr") == ["Cl", "C", "Br"]
    assert split("C%10%(100)[13CH3]") == ["C", "%10", "%(100)", "[13CH3]"]


def test_encoding_and_decoding_is_exact():
    vocabulary = Vocabulary.build(TRICKY)
    assert [vocabulary.decode(vocabulary.encode(text)) for text in TRICKY] == TRICKY
    assert "round trip is exact" in vocabulary.check(TRICKY)


def test_a_vocabulary_does_not_depend_on_the_order_of_rows_and_comes_back_from_its_state():
    assert Vocabulary.build(TRICKY) == Vocabulary.build(TRICKY[::-1])
    vocabulary = Vocabulary.build(TRICKY, "characters")
    assert Vocabulary.restore(vocabulary.state()) == vocabulary


def test_an_unknown_token_never_crashes_and_is_counted_by_row():
    vocabulary = Vocabulary.build(["CCO"])
    assert vocabulary.encode("C[Si]C")[1] == UNK
    assert vocabulary.decode(vocabulary.encode("C[Si]C")) == "C<unk>C"
    assert vocabulary.unknown(["CCO", "C[Si]C", "BrCBr"]) == {1: ["[Si]"], 2: ["Br", "Br"]}
    assert "2 rows with unknown tokens (Br x2, [Si] x1), first row 1" in vocabulary.check(["CCO", "C[Si]C", "BrCBr"])


def test_every_ring_label_a_randomized_smiles_may_need_is_known():
    assert not Vocabulary.build(["CC"]).unknown(["C1C2C3C4C5C6C7C8C9C%10C%11C%12"])


def test_decoding_stops_at_the_end_token():
    vocabulary = Vocabulary.build(["CO"])
    numbers = vocabulary.encode("CO")
    assert vocabulary.decode([*numbers, EOS, *numbers]) == "CO"


@pytest.mark.parametrize(
    ("tokens", "message"),
    [(("C",), "starts with"), (SPECIAL, "is empty"), ((*SPECIAL, "C", "C"), "stand twice")],
)
def test_a_wrong_vocabulary_is_refused(tokens, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(tokens)


def test_an_unknown_notation_is_refused():
    with pytest.raises(ValueError, match="unknown notation 'inchi'"):
        split("C", "inchi")


def test_tokens_know_their_atoms():
    smiles = pytest.importorskip("molgraph.molecules.reading.smiles")
    for text in ["C[C@@H](Cl)Br", "c1ccc2[nH]ccc2c1", "[O-][N+](=O)c1ccccc1", "[H]OC([2H])C", "CC.[Na+]"]:
        mol = smiles.parse(text)
        tokens = split(text)
        atoms = atoms_of_tokens(tokens)
        assert max(atoms) + 1 == mol.GetNumAtoms()
        for token, atom in zip(tokens, atoms, strict=True):
            if atom >= 0:
                assert mol.GetAtomWithIdx(atom).GetSymbol().lower() in token.lower()


def test_selfies_keep_the_molecule():
    pytest.importorskip("selfies")
    smiles = pytest.importorskip("molgraph.molecules.reading.smiles")
    vocabulary = Vocabulary.build(["CC(=O)Oc1ccccc1C(=O)O"], "selfies")
    back = vocabulary.decode(vocabulary.encode("CC(=O)Oc1ccccc1C(=O)O"))
    assert smiles.canonicalize(back) == smiles.canonicalize("CC(=O)Oc1ccccc1C(=O)O")
    assert split("C*", "selfies") == ["<unk>"]


def test_selfies_that_are_not_installed_name_the_remedy(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "selfies", None)
    with pytest.raises(ValueError, match="pip install"):
        split("C", "selfies")


def test_the_reactions_and_the_fragments_round_trip():
    if not (DATA / "uspto50k_test.csv.gz").exists():
        pytest.skip("needs the data folder (MOLGRAPH_DATA)")
    with gzip.open(DATA / "uspto50k_test.csv.gz", "rt") as file:
        texts = [part for line in list(file)[1:] for part in line.strip().split(",")[1:]]
    assert "round trip is exact" in Vocabulary.build(texts).check(texts)

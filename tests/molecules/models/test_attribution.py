"""Explanations: weights that add up, follow the atoms when they are renumbered, and find a known answer."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from rdkit import Chem

from molgraph.molecules.explain import depict, write_explanations
from molgraph.molecules.models.attribution import ATTENTION, GRADIENT, NoAttention
from molgraph.molecules.models.baselines import Ridge
from molgraph.molecules.models.fingerprints import MORGAN_BITS
from molgraph.molecules.models.graph_predictor import GraphPredictor
from molgraph.molecules.models.trees import RandomForest
from molgraph.nn.graph import Features
from tests.choices import choice

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
ATTENTIVE = ("gat", "gatv2", "attentive_fp")


def build(name, **changes):
    torch.manual_seed(0)
    options = choice("model", name) | changes
    options.pop("_target_")
    options["encoder"] |= {"hidden": 16, "layers": 2}
    return GraphPredictor.build([ASPIRIN, "CCO"], 2, **options).eval()


@pytest.mark.parametrize("name", ["gcn", "gine", "dmpnn", *ATTENTIVE])
def test_the_gradient_of_a_graph_model_adds_up_to_its_directional_derivative(name):
    """Gradient x input, summed over atoms, is the change of the prediction as all features grow together."""
    model = build(name)
    explanation = model.explain(ASPIRIN, GRADIENT, 1)
    batch = model.featurizer()([ASPIRIN])[0].batch([0])

    def scaled(factor):
        nodes, edges = batch.node_features.rows() * factor, batch.edge_features.rows() * factor
        with torch.no_grad():
            return model(replace(batch, node_features=Features(nodes), edge_features=Features(edges))).double()[0, 1]

    slope = (scaled(1.001) - scaled(0.999)) / 0.002
    assert explanation.atoms.sum() == pytest.approx(slope.item(), abs=2e-3, rel=2e-2)
    assert explanation.bonds.shape == (13,)


@pytest.mark.parametrize("way", [ATTENTION, GRADIENT])
@pytest.mark.parametrize("name", ATTENTIVE)
def test_weights_follow_the_atoms_when_they_are_renumbered(name, way):
    model, mol = build(name), Chem.MolFromSmiles(ASPIRIN)
    order = np.random.default_rng(1).permutation(mol.GetNumAtoms()).tolist()
    other = Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False)
    first, second = model.explain(ASPIRIN, way, 0), model.explain(other, way, 0)
    match = second.mol.GetSubstructMatch(first.mol)
    # Aspirin has no symmetry that could exchange atoms of different weight.
    np.testing.assert_allclose(first.atoms, second.atoms[list(match)], atol=1e-5)


@pytest.mark.parametrize("name", ATTENTIVE)
def test_attention_is_shared_out_among_the_neighbours(name):
    model = build(name, readout="mean")
    explanation = model.explain(ASPIRIN, ATTENTION, 0)
    assert explanation.atoms.sum() == pytest.approx(13, rel=1e-4)  # each of 13 atoms has 1 to give
    assert explanation.bonds.min() > 0


@pytest.mark.parametrize("readout", ["attention", "pma", "recurrent_attention"])
def test_a_readout_that_attends_explains_any_encoder(readout):
    explanation = build("gcn", readout=readout).explain(ASPIRIN, ATTENTION, 0)
    assert explanation.atoms.sum() == pytest.approx(1, rel=1e-4)
    assert explanation.bonds is None


def test_a_model_without_attention_says_what_to_do():
    with pytest.raises(NoAttention, match="use --by gradient"):
        build("dmpnn").explain(ASPIRIN, ATTENTION, 0)


def test_what_descriptors_contribute_belongs_to_no_atom():
    assert build("dmpnn").explain(ASPIRIN, GRADIENT, 0).rest == 0
    assert build("dmpnn", descriptors="rdkit").explain(ASPIRIN, GRADIENT, 0).rest != 0


def test_a_linear_model_of_fingerprints_is_explained_by_its_weights():
    """Of a model that counts one bit, an atom gets the substructures of that bit that contain it."""
    model = Ridge(1)
    encoded, _ = model.featurizer()(["CCO"])
    radius_zero = encoded.counts[0]
    model.weight = torch.ones(1, MORGAN_BITS)
    model.bias = torch.zeros(1)
    explanation = model.explain("CCO", GRADIENT, 0)
    # Ethanol: three atoms, and one environment of radius 1 around each, of which the middle one covers all atoms.
    assert radius_zero.sum() == 6
    assert explanation.atoms.tolist() == [3, 4, 3]


def test_a_forest_finds_the_atom_that_its_target_counts(tmp_path):
    smiles = ["C" * length + "O" * oxygen for length in range(1, 12) for oxygen in (0, 1)]
    model = RandomForest(1, trees=50)
    features = model.encode(smiles, workers=0).batch(range(len(smiles)))
    model.fit(features, torch.tensor([[float("O" in text)] for text in smiles]), "regression")
    explanation = model.explain("CCCCCO", GRADIENT, 0)
    assert explanation.atoms.argmax() == 5
    with pytest.raises(NoAttention, match="no attention"):
        model.explain("CCO", ATTENTION, 0)


@pytest.mark.parametrize("suffix", [".svg", ".png"])
@pytest.mark.parametrize("way", [ATTENTION, GRADIENT])
def test_a_picture_shows_the_molecule(tmp_path, suffix, way):
    path = tmp_path / f"aspirin{suffix}"
    depict(build("gatv2").explain(ASPIRIN, way, 0), path, "weights")
    content = path.read_bytes()
    assert content.startswith(b"<?xml") if suffix == ".svg" else content.startswith(b"\x89PNG")
    assert suffix == ".png" or content.count(b"atom-") >= 13
    with pytest.raises(ValueError, match=r"neither \.svg nor \.png"):
        depict(build("gatv2").explain("CCO", way, 0), tmp_path / "aspirin.gif")


class Loaded:
    """What `molgraph explain` needs of a loaded run."""

    names: tuple = ("y",)

    def __init__(self, model):
        self.model = model

    def explain(self, smiles, way, target):
        return self.model.explain(smiles, way, 0)


def test_all_explanations_are_written_with_a_table(tmp_path, capsys):
    write_explanations(Loaded(build("gat")), ["CCO", ASPIRIN], None, None, tmp_path / "out", lambda *_: None)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"1_attention.svg", "2_attention.png", "1_gradient.png", "2_gradient.svg", "explanations.csv"} <= names
    with (tmp_path / "out" / "explanations.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (3 + 2 + 13 + 13)
    assert "no atom" in capsys.readouterr().out

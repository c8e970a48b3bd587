"""Explanations of sequence models: weights of tokens that add up, and reach the right atoms."""

import numpy as np
import pytest
import torch

from molgraph.molecules.models.attribution import ATTENTION, GRADIENT, NoAttention
from molgraph.sequences.property.attribution import rollout
from molgraph.sequences.property.sequence_predictor import SequencePredictor

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
GRU = {"cell": "gru", "width": 12, "layers": 1, "dropout": 0.0}
TRANSFORMER = {"width": 16, "layers": 3, "heads": 4, "feed_forward": 32}


def build(shape, pooling="mean", **options):
    torch.manual_seed(0)
    return SequencePredictor.build([ASPIRIN, "CC[NH3+]", "CCCl"], 2, shape, pooling, **options).eval()


@pytest.mark.parametrize("pooling", ["mean", "attention", "pma"])
def test_attention_is_shared_out_over_the_tokens(pooling):
    explanation = build(TRANSFORMER, pooling).explain(ASPIRIN, ATTENTION, 0)
    assert explanation.atoms.sum() + explanation.rest == pytest.approx(1, rel=1e-5)
    assert explanation.tokens.weights.shape == (3, 23, 23)
    np.testing.assert_allclose(explanation.tokens.weights.sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["attention", "pma"])
def test_a_recurrent_model_has_the_attention_of_its_pooling(pooling):
    explanation = build(GRU, pooling).explain(ASPIRIN, ATTENTION, 0)
    assert explanation.atoms.sum() + explanation.rest == pytest.approx(1, rel=1e-5)
    assert explanation.tokens.weights.shape == (1, 1, 23)


@pytest.mark.parametrize(
    ("shape", "pooling"), [(GRU, "mean"), (TRANSFORMER | {"attention": "perceiver"}, "max")], ids=["gru", "perceiver"]
)
def test_a_model_without_attention_says_what_to_do(shape, pooling):
    with pytest.raises(NoAttention, match=r"use --by gradient, or train with model\.pooling=attention"):
        build(shape, pooling).explain(ASPIRIN, ATTENTION, 0)


@pytest.mark.parametrize("shape", [GRU, TRANSFORMER | {"positions": "rotary"}], ids=["gru", "transformer"])
def test_the_gradient_is_that_of_growing_embeddings(shape):
    model = build(shape)
    explanation = model.explain(ASPIRIN, GRADIENT, 1)
    table = model.encoder.embedding if shape is GRU else model.encoder.embedding.tokens
    batch, kept = model.encode([ASPIRIN]).batch([0]), table.weight.detach().clone()

    def scaled(factor):
        with torch.no_grad():
            table.weight.copy_(kept * factor)
            return model(batch).double()[0, 1].item()

    slope = (scaled(1.01) - scaled(0.99)) / 0.02
    assert explanation.atoms.sum() + explanation.rest == pytest.approx(slope, abs=1e-4, rel=2e-2)


@pytest.mark.parametrize("notation", ["smiles", "characters"])
def test_a_weight_belongs_to_the_atom_that_its_token_writes(notation):
    """A model that has only looked at chlorine explains itself by the chlorine."""
    model = build(GRU, notation=notation)
    known = set(model.vocabulary.encode("Cl"))
    with torch.no_grad():
        rows = torch.tensor([number not in known for number in range(len(model.vocabulary))])
        model.encoder.embedding.weight[rows] = 0
        if notation == "characters":
            model.encoder.embedding.weight[model.vocabulary.numbers["C"]] = 0
    explanation = model.explain("CC(Cl)C[NH3+]", GRADIENT, 0)
    assert explanation.mol.GetNumAtoms() == len(explanation.atoms) == 5
    assert (explanation.atoms != 0).tolist() == [False, False, True, False, False]
    assert explanation.rest == 0


def test_selfies_are_refused_with_the_remedy():
    pytest.importorskip("selfies")
    model = SequencePredictor.build(["CCO", "CCN"], 1, GRU, notation="selfies")
    with pytest.raises(ValueError, match=r"model\.notation=smiles"):
        model.explain("CCO", GRADIENT, 0)


def test_rollout_of_layers_that_look_at_themselves_changes_nothing():
    torch.testing.assert_close(rollout(torch.eye(4).expand(3, 4, 4)), torch.eye(4))


def test_rollout_of_one_uniform_layer_is_half_the_token_itself():
    expected = torch.full((4, 4), 0.125) + torch.eye(4) / 2
    torch.testing.assert_close(rollout(torch.full((1, 4, 4), 0.25)), expected)

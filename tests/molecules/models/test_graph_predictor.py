import copy
from itertools import product

import numpy as np
import pytest
import torch

from molgraph.molecules.models.graph_predictor import GraphPredictor
from molgraph.molecules.reading.smiles import Standardization
from molgraph.testing import SMILES, MoleculeModelContract, outputs_of
from molgraph.training.config import CONF
from tests.choices import choice

GRAPH_MODELS = {
    path.stem: options
    for path in sorted((CONF / "model").glob("*.yaml"))
    if (options := choice("model", path.stem)).pop("_target_", "").endswith(".GraphPredictor")
}
SMALL = {"hidden": 24}
READOUTS, NORMALIZATIONS = ("sum", "mean", "attention", "recurrent_attention", "pma"), ("batch", "layer", "none")


def build(name, encoder=(), outputs=2, smiles=SMILES, **options):
    chosen = copy.deepcopy(GRAPH_MODELS[name])
    chosen["encoder"] |= SMALL | dict(encoder)
    return GraphPredictor.build(smiles, outputs, **(chosen | options))


def test_the_graph_models_of_the_issue_are_there():
    assert {"gcn", "gat", "gatv2", "attentive_fp", "gine", "dmpnn"} <= set(GRAPH_MODELS)


class TestGraphModels(MoleculeModelContract):
    @pytest.fixture(params=GRAPH_MODELS)
    def name(self, request):
        return request.param

    @pytest.fixture
    def model(self, name):
        return build(name)

    @pytest.fixture
    def twin(self, name):
        return build(name)


class TestGraphModelWithDescriptors(MoleculeModelContract):
    @pytest.fixture
    def model(self):
        return build("dmpnn", descriptors="rdkit")

    @pytest.fixture
    def twin(self):
        return build("dmpnn", descriptors="rdkit", smiles=SMILES[:2])


class TestGraphModelWithHydrogensAndLargestFragment(MoleculeModelContract):
    @pytest.fixture
    def model(self):
        return build("gine", standardization=Standardization(hydrogens=True, salts="largest"))

    @pytest.fixture
    def twin(self):
        return build("gine", standardization=Standardization(hydrogens=True, salts="largest"))


@pytest.mark.parametrize("name", GRAPH_MODELS)
def test_every_readout_normalization_and_residual_goes_with_every_model(name):
    for kind, normalization, residual in product(READOUTS, NORMALIZATIONS, (True, False)):
        encoder = {"normalization": normalization, "residual": residual, "layers": 2, "dropout": 0.1}
        model = build(name, encoder, readout=kind, head_dropout=0.1)
        together = outputs_of(model, SMILES)
        assert together.isfinite().all()
        torch.testing.assert_close(together[5:6], outputs_of(model, SMILES[5:6]), atol=1e-5, rtol=1e-5)
        batch = model.encode(list(SMILES), workers=0).batch(range(8))
        model.train()(batch).square().sum().backward()
        without = [key for key, p in model.named_parameters() if p.grad is None]
        assert without == [], (kind, normalization, residual)


@pytest.mark.parametrize("name", GRAPH_MODELS)
def test_dropout_is_drawn_in_training_only(name):
    model = build(name, {"dropout": 0.4})
    batch = model.encode(list(SMILES), workers=0).batch(range(8))
    assert not torch.equal(model.train()(batch), model(batch))
    assert torch.equal(model.eval()(batch), model(batch))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"readout": "max"}, "readout='max' is unknown; use one of sum"),
        ({"descriptors": "mordred"}, "descriptors='mordred' is unknown; use"),
        ({"encoder": {"normalization": "group"}}, "normalization='group' is unknown; use one of batch"),
        ({"encoder": {"hiden": 3}}, "does not take hiden; it takes"),
        ({"encoder": {"heads": 5}}, "not a multiple of heads=5"),
    ],
)
def test_an_unknown_option_says_what_there_is(options, message):
    with pytest.raises(ValueError, match=message):
        build("gat", **options)


def test_descriptors_are_normalized_by_the_training_part_and_cut():
    model = build("gcn", descriptors="rdkit", smiles=["CCO", "CCN", "CCC"])
    branch = model.descriptors
    far = model.encode(["C" * 300], workers=0).batch([0]).graph_features[:, -len(branch.mean) :]
    near = model.encode(["CCO", "CCN", "CCC"], workers=0).batch([0, 1, 2]).graph_features[:, -len(branch.mean) :]
    assert branch.normalized(far).abs().max() == branch.LIMIT
    normalized = branch.normalized(near)
    torch.testing.assert_close(normalized.mean(0), torch.zeros(len(branch.mean)), atol=1e-4, rtol=0)
    spread = normalized.std(0, correction=0)
    constant = near.std(0, correction=0) < 1e-6
    assert (spread[constant] == 0).all()


def test_a_batch_without_descriptors_is_refused_by_a_model_that_wants_them():
    model = build("gcn", descriptors="rdkit")
    batch = build("gcn").encode(["CCO"], workers=0).batch([0])
    with pytest.raises(ValueError, match="wants descriptors"):
        model(batch)


def test_the_learned_fingerprint_is_what_the_head_reads():
    model = build("gcn").eval()
    batch = model.encode(list(SMILES), workers=0).batch(np.arange(8))
    assert torch.equal(model.head(model.fingerprint(batch)), model(batch))

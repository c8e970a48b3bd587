"""A committee: one predictor like every other, whose members can be counted, weighed and explained."""

import numpy as np
import pytest
import torch

from molgraph.molecules.models.attribution import NoAttention
from molgraph.molecules.models.baselines import Baseline
from molgraph.molecules.models.committee import MEMBERS, Committee, combine
from molgraph.testing import SMILES, MoleculeModelContract, outputs_of
from tests.choices import choice

SMALL = {
    "network": {**MEMBERS["network"], "encoder": {**MEMBERS["network"]["encoder"], "hidden": 16, "layers": 2}},
    "kernel": {**MEMBERS["kernel"], "penalty": 0.1},
    "trees": {**MEMBERS["trees"], "trees": 5},
}


def taught(outputs=2, kind="regression", members=SMALL):
    """Return a committee whose baselines know eight molecules."""
    model = Committee.build(SMILES, outputs, members=members)
    wanted = torch.randn(len(SMILES), outputs, generator=torch.Generator().manual_seed(3))
    for part in model.parts:
        if isinstance(part, Baseline):
            part.fit(
                part.encode(list(SMILES), 0).batch(range(len(SMILES))),
                wanted if kind == "regression" else (wanted > 0).float(),
                kind,
            )
    return model


class TestCommittee(MoleculeModelContract):
    @pytest.fixture
    def model(self):
        return taught()

    @pytest.fixture
    def twin(self):
        return taught()


def alone(model):
    return torch.stack([outputs_of(part, SMILES) for part in model.parts])


def test_it_says_the_weighted_mean_of_its_parts_and_parts_of_one_member_share_its_weight():
    model = taught()
    network, kernel, trees = model.parts
    other = Committee.build(SMILES, 2, members=SMALL).parts[0]
    parts = [("network", network), ("network", other), ("kernel", kernel), ("trees", trees)]
    model.take(parts, {"network": 0.6, "kernel": 0.3, "trees": 0.1}, "regression")
    expected = torch.einsum("p,pbt->bt", torch.tensor([0.3, 0.3, 0.3, 0.1]), alone(model))
    torch.testing.assert_close(outputs_of(model, SMILES), expected)


def test_of_two_classes_the_probabilities_are_averaged():
    said = torch.tensor([[[-2.0]], [[3.0]]])
    mean = combine(said, torch.tensor([0.25, 0.75]), two_classes=True).sigmoid()
    torch.testing.assert_close(mean, 0.25 * said[0].sigmoid() + 0.75 * said[1].sigmoid())


def test_members_that_read_alike_share_one_reading():
    members = {**SMALL, "again": SMALL["kernel"]}
    model = Committee.build(SMILES, 1, members=members)
    assert model.readings() == [0, 1, 2, 1]
    assert len(model.encode(list(SMILES), 0).batch([0, 1]).readings) == 3


def test_it_is_restored_from_plain_values_and_tensors():
    model = taught()
    again = Committee.restore(model.state(), 2, members=SMALL)
    again.load_state_dict(model.state_dict())
    assert torch.equal(outputs_of(again, SMILES), outputs_of(model, SMILES))


def test_it_is_explained_by_its_members():
    model = taught()
    found = model.explain("CC(=O)O", "gradient", 1)
    each = [part.explain("CC(=O)O", "gradient", 1).atoms for part in model.parts]
    np.testing.assert_allclose(found.atoms, np.mean(each, axis=0), atol=1e-6)
    with pytest.raises(NoAttention):
        model.explain("CC(=O)O", "attention", 0)


def test_its_members_are_those_of_the_command_and_can_be_trained_alone():
    members = choice("model", "best")["members"]
    assert list(members) == list(MEMBERS)
    for name, node in MEMBERS.items():
        assert node.items() <= members[name].items()
    assert members["kernel"] == choice("model", "kernel_ridge")
    assert members["trees"] == choice("model", "extra_trees")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0.0}, r"model\.budget is 0\.0"),
        ({"folds": 1}, r"model\.folds is 1"),
        ({"members": {}}, r"model\.members is"),
        ({"members": {"a": {"trees": 3}}}, r"model\.members\.a names no model"),
    ],
)
def test_a_setting_that_makes_no_committee_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        Committee.build(SMILES, 1, **options)

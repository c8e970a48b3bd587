"""Kernel ridge: the kernel against RDKit's, weights against scikit-learn, leaving out against fitting again."""

import numpy as np
import pytest
import torch
from rdkit import Chem, DataStructs
from sklearn.kernel_ridge import KernelRidge as SklearnRidge

from molgraph.molecules.models.attribution import NoAttention
from molgraph.molecules.models.kernels import PENALTIES, KernelRidge
from molgraph.molecules.models.substructures import KINDS, generator
from molgraph.testing import SMILES, outputs_of, renumbered

MANY = [*SMILES, *("C" * n + end for n in range(1, 8) for end in ("O", "N", "c1ccccc1", "C(=O)O", "Cl"))]


def batch_of(model, smiles):
    return model.encode(list(smiles), workers=0).batch(range(len(smiles)))


def values_for(smiles, targets=1):
    return torch.randn(len(smiles), targets, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def fitted():
    model = KernelRidge(1, penalty=0.1)
    model.fit(batch_of(model, MANY), values_for(MANY), "regression")
    return model


def tanimoto(first, second):
    """Return RDKit's own similarity of count vectors, averaged over the kinds."""
    pairs = [
        [generator(kind).GetSparseCountFingerprint(Chem.MolFromSmiles(s)) for s in (first, second)] for kind in KINDS
    ]
    return np.mean([DataStructs.TanimotoSimilarity(*pair) if max(map(total, pair)) else 1.0 for pair in pairs])


def total(fingerprint):
    return fingerprint.GetTotalVal()


def test_the_kernel_is_the_mean_similarity_of_rdkit_over_the_kinds(fitted):
    similar = fitted.similarity(batch_of(fitted, SMILES))
    expected = [[tanimoto(first, second) for second in MANY] for first in SMILES]
    np.testing.assert_allclose(similar, expected, atol=0.02)  # RDKit's are not folded


def test_a_molecule_is_wholly_like_itself(fitted):
    torch.testing.assert_close(fitted.similarity(batch_of(fitted, MANY)).diagonal(), torch.ones(len(MANY)))


def test_the_weights_are_those_of_scikit_learn(fitted):
    similar = fitted.similarity(batch_of(fitted, MANY)).double().numpy()
    values = values_for(MANY).numpy()
    oracle = SklearnRidge(alpha=0.1, kernel="precomputed").fit(similar, values - values.mean())
    np.testing.assert_allclose(fitted(batch_of(fitted, MANY)), oracle.predict(similar) + values.mean(), atol=1e-3)


@pytest.mark.parametrize("landmarks", [1000, 12])
def test_what_is_left_out_is_predicted_as_by_a_model_that_never_saw_it(landmarks):
    model, values = KernelRidge(1, penalty=0.1, landmarks=landmarks), values_for(MANY)
    batch = batch_of(model, MANY)
    model.fit(batch, values, "regression")
    similar, landmark = (
        model.similarity(batch).double(),
        np.sort(np.random.default_rng(0).permutation(len(MANY))[:landmarks]),
    )
    for row in (0, 5, 20):
        others = [other for other in range(len(MANY)) if other != row]
        wanted = (values[others] - values.mean()).double()
        left = similar[others]
        if landmarks > len(MANY):
            weights = torch.linalg.solve(left[:, others] + 0.1 * torch.eye(len(others)).double(), wanted)
            expected = similar[row, others] @ weights
        else:
            inner = left.T @ left + 0.1 * similar[landmark]
            expected = similar[row] @ torch.linalg.solve(inner, left.T @ wanted)
        assert model.held_out[row, 0] == pytest.approx(float(expected + values.mean()), abs=2e-3)


def test_a_value_that_is_missing_is_left_out_of_its_target():
    model, values = KernelRidge(2, penalty=0.1), values_for(MANY, 2)
    values[::3, 1] = torch.nan
    batch = batch_of(model, MANY)
    model.fit(batch, values, "regression")
    alone = KernelRidge(1, penalty=0.1)
    kept = ~values[:, 1].isnan()
    alone.fit(batch[kept], values[kept, 1:], "regression")
    torch.testing.assert_close(model(batch)[:, 1:], alone(batch), atol=1e-4, rtol=0)
    assert model.held_out.isnan().equal(values.isnan())


def test_the_penalty_is_the_best_on_what_is_left_out():
    values = values_for(MANY)
    errors = []
    for penalty in (None, *PENALTIES):
        model = KernelRidge(1, penalty=penalty)
        model.fit(batch_of(model, MANY), values, "regression")
        errors.append(float((model.held_out - values).square().mean()))
    assert errors[0] == min(errors[1:]) < max(errors[1:])


def test_two_classes_become_calibrated_logits():
    labels = torch.tensor([[float("c1" in text)] for text in MANY])
    model = KernelRidge(1)
    batch = batch_of(model, MANY)
    model.fit(batch, labels, "classification")
    chance = model(batch).sigmoid()
    assert chance[labels == 1].min() > chance[labels == 0].max()
    assert model.held_out.sigmoid().mean() == pytest.approx(float(labels.mean()), abs=0.05)


def test_it_is_restored_from_plain_values_and_tensors(fitted):
    again = KernelRidge.restore(fitted.state(), 1, penalty=0.1)
    again.load_state_dict(fitted.state_dict())
    assert torch.equal(outputs_of(again, SMILES), outputs_of(fitted, SMILES))


def test_the_writing_of_a_molecule_does_not_matter(fitted):
    torch.testing.assert_close(
        outputs_of(fitted, [renumbered(text, 1) for text in SMILES]), outputs_of(fitted, SMILES), atol=1e-5, rtol=0
    )


def test_an_atom_weighs_what_its_substructures_bring():
    model = KernelRidge(1, penalty=0.03)
    chlorinated = torch.tensor([[float("Cl" in text)] for text in MANY])
    model.fit(batch_of(model, MANY), chlorinated, "regression")
    found = model.explain("CCCCCCl", "gradient", 0)
    assert found.atoms.argmax() == 5
    with pytest.raises(NoAttention):
        model.explain("CCCCCCl", "attention", 0)


def test_an_atom_takes_away_every_substructure_that_it_is_part_of(fitted):
    from molgraph.molecules.models.substructures import BITS, counts_without

    mol = Chem.MolFromSmiles("CO")
    kinds = counts_without(mol).view(2, len(KINDS), BITS).sum(2)
    assert kinds[0].tolist() == [1, 1, 0, 0]  # of methanol without one atom the other one is left


def test_a_setting_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"model\.penalty is 0"):
        KernelRidge(1, penalty=0)

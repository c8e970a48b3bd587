"""What every model of molecular properties has to keep, as tests: ``fixture model, fixture twin -> inherit -> pytest``.

For models of molgraph and of plug-ins alike::

    class TestMyModel(MoleculeModelContract):
        @pytest.fixture
        def model(self):
            return MyPredictor.build(SMILES, outputs=2, hidden=16)

        @pytest.fixture
        def twin(self):
            return MyPredictor.build(SMILES, outputs=2, hidden=16)
"""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from rdkit import Chem
from torch import Tensor

from molgraph.molecules.models import Predictor

SMILES = (
    "CCO",
    "CC(=O)Oc1ccccc1C(=O)O",
    "C[C@H](N)C(=O)O",
    "C/C=C/C#N",
    "[Na+].CC(=O)[O-]",
    "c1ccc2c(c1)[nH]cc2",
    "C",
    "O=S(=O)(N)c1ccc(Cl)cc1",
)
"""Eight molecules: chiral, charged, aromatic, with a double bond that has a side, a salt, and one without bonds."""
LONG = "C" * 250 + "c1ccccc1" + "N(C)CC(=O)O" * 30
"""A molecule of about 500 atoms."""


def renumbered(smiles: str, seed: int) -> str:
    """Return the same molecule with its atoms in another order."""
    mol = Chem.MolFromSmiles(smiles)
    order = torch.randperm(mol.GetNumAtoms(), generator=torch.Generator().manual_seed(seed)).tolist()
    return Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False)


def outputs_of(model: Predictor, smiles: Sequence[str]) -> Tensor:
    """Return the model's outputs ``[B, outputs]`` for SMILES, in evaluation mode and one batch."""
    encoded = model.encode(list(smiles), workers=0)
    with torch.no_grad():
        return model.eval()(encoded.batch(range(len(encoded))))


class PropertyModelContract:
    """What graph and sequence models keep.

    Inherit it, and give it a fixture ``model`` and a fixture ``twin``: a second model made alike.

    Attributes:
        tolerance: two predictions are equal if they differ by less; other batches add up in another order.
    """

    tolerance = 1e-5

    def same(self, first: Tensor, second: Tensor) -> None:
        """Refuse two predictions that differ by more than :attr:`tolerance`."""
        torch.testing.assert_close(first, second, atol=self.tolerance, rtol=self.tolerance)

    def test_predictions_are_finite(self, model: Predictor) -> None:
        """Predictions are finite."""
        outputs = outputs_of(model, SMILES)
        assert outputs.shape[0] == len(SMILES)
        assert outputs.isfinite().all()

    def test_a_batch_equals_one_by_one(self, model: Predictor) -> None:
        """A batch equals one by one."""
        self.same(outputs_of(model, SMILES), torch.cat([outputs_of(model, [text]) for text in SMILES]))

    def test_the_order_of_a_batch_is_the_order_of_the_predictions(self, model: Predictor) -> None:
        """The order of a batch is the order of the predictions."""
        self.same(outputs_of(model, SMILES).flip(0), outputs_of(model, SMILES[::-1]))

    def test_a_gradient_reaches_every_parameter(self, model: Predictor) -> None:
        """A gradient reaches every parameter."""
        encoded = model.encode(list(SMILES), workers=0)
        model.train()(encoded.batch(range(len(encoded)))).square().sum().backward()
        without = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None)]
        assert without == []
        gradients = [p.grad for p in model.parameters() if p.requires_grad and p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)

    def test_it_overfits_eight_molecules(self, model: Predictor) -> None:
        """It overfits eight molecules."""
        encoded = model.encode(list(SMILES), workers=0)
        batch = encoded.batch(range(len(encoded)))
        outputs = model.train()(batch).shape[1]
        wanted = torch.randn(len(SMILES), outputs, generator=torch.Generator().manual_seed(1))
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(300):
            loss = (model(batch) - wanted).square().mean()
            if loss < 0.01:
                return
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        pytest.fail(f"300 steps leave a loss of {loss.item():.3f}")

    def test_it_saves_and_loads_identically(self, model: Predictor, twin: Predictor, tmp_path: Path) -> None:
        """It saves and loads identically."""
        encoded = model.encode(list(SMILES), workers=0)
        model.train()(encoded.batch(range(len(encoded))))  # moves the statistics of a batch normalization
        torch.save(model.state_dict(), tmp_path / "model.pt")
        twin.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
        assert torch.equal(outputs_of(model, SMILES), outputs_of(twin, SMILES))

    @pytest.mark.parametrize("smiles", ["C", "[Na+]", "[Na+].[Cl-]", "[H][H]", LONG], ids=lambda text: text[:12])
    def test_a_single_atom_no_bond_and_five_hundred_atoms_work(self, model: Predictor, smiles: str) -> None:
        """A single atom no bond and five hundred atoms work."""
        assert outputs_of(model, [smiles]).isfinite().all()

    def test_a_single_atom_can_be_learned_from_alone(self, model: Predictor) -> None:
        """A single atom can be learned from alone."""
        encoded = model.encode(["C"], workers=0)
        model.train()(encoded.batch([0])).sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    def test_no_molecules_give_no_predictions(self, model: Predictor) -> None:
        """No molecules give no predictions."""
        encoded = model.encode(list(SMILES), workers=0)
        with torch.no_grad():
            assert len(model.eval()(encoded.batch([]))) == 0

    def test_it_runs_in_bfloat16(self, model: Predictor) -> None:
        """It runs in bfloat16."""
        encoded = model.encode(list(SMILES), workers=0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model.train()(encoded.batch(range(len(encoded)))).float().square().mean()
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    def test_the_featurizer_for_other_processes_agrees(self, model: Predictor) -> None:
        """The featurizer for other processes agrees."""
        encoded, errors = model.featurizer()([SMILES[0], "C1CC", "", SMILES[1]])
        assert sorted(errors) == [1, 2]
        with torch.no_grad():
            outputs = model.eval()(encoded.batch(range(2)))
        self.same(outputs, outputs_of(model, SMILES[:2]))


class MoleculeModelContract(PropertyModelContract):
    """What a model keeps that reads the molecule, not its writing: a sequence model sees the order of the atoms."""

    def test_permuting_atoms_does_not_change_the_prediction(self, model: Predictor) -> None:
        """Permuting atoms does not change the prediction."""
        for seed in range(3):
            self.same(outputs_of(model, SMILES), outputs_of(model, [renumbered(text, seed) for text in SMILES]))

import json

import pytest
import torch
from rich.console import Console

from molgraph.sequences.property.atoms import AtomExperiment
from molgraph.training.run import train

QUIET = Console(quiet=True)
DATA = {"name": "moses_fragments", "val": 0.05, "test": 0.05, "limit": 1500}
GRU = {"cell": "gru", "width": 48, "layers": 1, "dropout": 0.0}


def test_a_sequence_model_learns_a_value_for_each_atom(tmp_path):
    config = {
        "data": DATA,
        "model": {
            "_target_": "molgraph.sequences.property.sequence_predictor.SequencePredictor",
            "shape": GRU,
            "randomize": True,
        },
        "task": {"_target_": "molgraph.sequences.property.atoms.AtomExperiment", "properties": ["logp", "aromatic"]},
        "trainer": {"max_steps": 120, "threads": 1, "precision": "float32", "optimizer": {"learning_rate": 0.01}},
        "seed": 0,
    }
    train(config, tmp_path, QUIET)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["test"]["r2_logp"] > 0.8
    assert results["test"]["r2_aromatic"] > 0.95


@pytest.mark.parametrize("encoder", ["GCN", "GAT", "GATv2", "GINE", "DMPNN", "AttentiveFP"])
def test_any_graph_encoder_gives_a_value_to_each_atom_in_the_order_of_the_text(tmp_path, encoder):
    model = {"encoder": {"_target_": f"molgraph.molecules.models.encoders.{encoder}", "hidden": 16}, "readout": "mean"}
    experiment = AtomExperiment(DATA | {"limit": 50}, model, 0, tmp_path, QUIET, ["aromatic"]).prepare()
    network, (encoded, errors) = (
        experiment.model.eval(),
        experiment.model.featurizer()(["OCc1ccccc1", "C1CC", "c1(CO)ccccc1"]),
    )
    assert list(errors) == [1]
    one, other = (network(encoded.atom_batch([row])) for row in range(2))
    order = [2, 1, 0, 3, 4, 5, 6, 7]  # of the second writing: C of the ring, C, O, the ring
    torch.testing.assert_close(other, one[order], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(one[0], one[2])
    for batch in experiment.train.epoch(0):
        assert network(batch.inputs).shape == batch.targets.shape


def test_a_graph_model_learns_a_value_for_each_atom(tmp_path):
    encoder = {"_target_": "molgraph.molecules.models.encoders.GINE", "hidden": 48, "layers": 3}
    config = {
        "data": DATA,
        "model": {"_target_": "molgraph.molecules.models.graph_predictor.GraphPredictor", "encoder": encoder},
        "task": {"_target_": "molgraph.sequences.property.atoms.AtomExperiment", "properties": ["logp", "aromatic"]},
        "trainer": {"max_steps": 120, "threads": 1, "precision": "float32", "optimizer": {"learning_rate": 0.01}},
        "seed": 0,
    }
    train(config, tmp_path, QUIET)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["test"]["r2_logp"] > 0.9
    assert results["test"]["r2_aromatic"] > 0.95


def test_models_of_whole_molecules_are_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match=r"this model \(trees\) has no state for each atom; use task=atoms with"):
        AtomExperiment({"name": "nowhere"}, {"trees": 5}, 0, tmp_path, QUIET)
    model = {"encoder": {"_target_": "molgraph.molecules.models.encoders.GCN"}, "descriptors": "rdkit"}
    with pytest.raises(ValueError, match=r"model.descriptors=rdkit are of a whole molecule"):
        AtomExperiment(DATA | {"limit": 50}, model, 0, tmp_path, QUIET).prepare()


def test_every_batch_has_a_value_for_each_atom(tmp_path):
    experiment = AtomExperiment(DATA | {"limit": 100}, {"shape": GRU}, 0, tmp_path, QUIET, ["charge"]).prepare()
    for batch in experiment.train.epoch(0):
        assert len(batch.inputs.atoms) == len(batch.targets)
        assert experiment.model(batch.inputs).shape == batch.targets.shape
    first, again = (next(experiment.train.epoch(3)).targets for _ in range(2))
    assert torch.equal(first, again)


def test_what_cannot_be_read_is_left_out_and_said(tmp_path):
    (tmp_path / "own.smi").write_text(
        "C1CC\n" + "".join(f"{'C' * (n % 20 + 1)}{'ON'[n // 20]}\n" for n in range(40)) + "C" * 60 + "\n"
    )
    console = Console(record=True, width=200, file=(tmp_path / "log").open("w"))
    data = {"path": str(tmp_path / "own.smi"), "val": 0.2, "test": 0.0}
    experiment = AtomExperiment(data, {"shape": GRU, "longest": 40}, 0, tmp_path, console).prepare()
    assert "1 texts are no molecules" in console.export_text(clear=False)
    assert "1 molecules are too long" in console.export_text()
    assert experiment.test is experiment.val


def test_characters_have_no_atoms(tmp_path):
    with pytest.raises(ValueError, match=r"model.notation=characters has none"):
        AtomExperiment(DATA, {"shape": GRU, "notation": "characters"}, 0, tmp_path, QUIET).prepare()

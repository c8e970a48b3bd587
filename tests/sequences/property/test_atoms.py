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

"""Training a committee: honest weights, every kind of target, a budget, and going on after a kill."""

import json

import numpy as np
import pytest
from rich.console import Console

import molgraph
from molgraph.molecules.experiment import PropertyExperiment
from molgraph.molecules.members import School
from molgraph.training.config import TrainerConfig
from molgraph.training.trainer import Trainer
from tests.molecules.models.test_committee import SMALL

QUIET = Console(quiet=True)
TAILS = ("O", "N", "Cl", "C(=O)O", "c1ccccc1")
SMILES = [f"{'C' * n}{tail}" for n in range(1, 13) for tail in TAILS]
COMMITTEE = "molgraph.molecules.models.committee.Committee"


@pytest.fixture
def table(tmp_path):
    """Sixty molecules: y grows with the chain and the tail, half of z is missing."""
    rows = []
    for number, text in enumerate(SMILES):
        chain, tail = divmod(number, len(TAILS))
        z = "" if number % 2 else chain
        rows.append(f"{text},{chain + 2 * tail},{z},{int(tail > 2)},{'abc'[tail % 3]}")
    (tmp_path / "rows.csv").write_text("smiles,y,z,toxic,colour\n" + "\n".join(rows) + "\n")
    return tmp_path / "rows.csv"


def config(table, targets, kind="auto", epochs=2, **model):
    return {
        "data": {"path": str(table), "targets": targets, "kind": kind, "workers": 0, "batch_size": 16},
        "model": {"_target_": COMMITTEE, "members": SMALL, "folds": 3, **model},
        "task": {"_target_": "molgraph.molecules.experiment.PropertyExperiment"},
        "trainer": {"epochs": epochs, "device": "cpu"},
        "seed": 0,
    }


def weights_of(folder):
    return {
        name: entry["weight"]
        for name, entry in json.loads((folder / "results.json").read_text())["committee"]["members"].items()
    }


@pytest.mark.parametrize(
    ("targets", "kind", "members"),
    [
        (["y", "z"], "regression", ["kernel", "trees", "network"]),
        (["toxic"], "classification", ["kernel", "trees", "network"]),
        (["colour"], "multiclass", ["network"]),
    ],
)
def test_every_kind_of_target_is_learned_saved_and_predicted(table, tmp_path, targets, kind, members):
    results = molgraph.train(config(table, targets, kind), str(tmp_path / "run"))
    assert sorted(results["committee"]["members"]) == sorted(members)
    weights = weights_of(tmp_path / "run")
    assert sum(weights.values()) == pytest.approx(1, abs=1e-3)
    assert min(weights.values()) >= 0
    model = molgraph.load(str(tmp_path / "run"))
    assert all(np.isfinite(prediction.values).all() for prediction in model.predict(SMILES[:5]))
    assert model.predict("C1CC").error == "unclosed ring"


def test_what_is_said_of_validation_is_said_by_models_that_have_not_seen_it(table, tmp_path):
    """With noise for targets, a model that has seen a molecule knows it; an honest one is as wrong as the mean."""
    noise = np.random.default_rng(0).normal(size=len(SMILES))
    table.write_text("smiles,y\n" + "\n".join(f"{text},{value}" for text, value in zip(SMILES, noise, strict=True)))
    results = molgraph.train(config(table, ["y"]), str(tmp_path / "run"))
    assert results["val"]["y"]["rmse"] > 0.7 * results["baseline"]["y"]["rmse"]
    assert all(entry["alone"] > 0.7 for entry in results["committee"]["members"].values())


def school(table, folder, **model):
    folder.mkdir()
    node = config(table, ["y"], **model)
    made = PropertyExperiment(node["data"], node["model"], 0, folder, QUIET).prepare()
    return School(made, Trainer(TrainerConfig(epochs=2, device="cpu"), folder, node, [], QUIET))


def test_a_molecule_of_several_rows_lies_in_one_fold(table, tmp_path):
    table.write_text(table.read_text() + "OCC,9,1,1,a\nOCCC,9,1,1,a\n")
    made = school(table, tmp_path / "run")
    folds = {}
    for row, fold in zip(made.rows, made.fold, strict=True):
        folds.setdefault(made.experiment.canonical[row], set()).add(int(fold))
    assert all(len(found) == 1 for found in folds.values())
    assert {fold for found in folds.values() for fold in found} == {0, 1, 2}


def test_the_test_part_teaches_nothing(table, tmp_path):
    made = school(table, tmp_path / "run")
    assert not set(made.rows) & set(made.experiment.split.test)


def test_a_killed_run_goes_on_with_the_members_that_are_finished(table, tmp_path, monkeypatch):
    whole = molgraph.train(config(table, ["y"]), str(tmp_path / "whole"))
    follow = School._follow

    def killed(self, name, number, job, settings):
        if number == 1:
            raise KeyboardInterrupt
        return follow(self, name, number, job, settings)

    cut = tmp_path / "cut"
    with monkeypatch.context() as patch:
        patch.setattr(School, "_follow", killed)
        with pytest.raises(KeyboardInterrupt):
            molgraph.train(config(table, ["y"]), str(cut))
    assert (cut / "members" / "kernel.pt").exists()
    assert not (cut / "results.json").exists()
    with monkeypatch.context() as patch:
        patch.setattr("molgraph.molecules.models.kernels.KernelRidge.fit", None)  # is not called again
        again = molgraph.resume(str(cut))
    assert again["test"] == whole["test"]
    assert again["val"] == whole["val"]


def test_a_budget_that_is_too_small_trains_less(table, tmp_path):
    made = school(table, tmp_path / "run", budget=1e-4)
    made.teach()
    assert made.results["members"]["trees"]["models"] == 1
    assert "network" not in made.results["members"]
    assert json.loads((tmp_path / "run" / "members" / "plan.json").read_text())["trees"] == {"trees": 4}
    encoded = made.committee.encode(SMILES[:4], 0)
    assert made.committee(encoded.batch(range(4))).isfinite().all()

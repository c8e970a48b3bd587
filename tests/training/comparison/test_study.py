"""A comparison at equal budgets: the widths match, trials are equal in number, and an interrupted one goes on."""

import io
import json

import pytest
import torch
import yaml
from rich.console import Console

from molgraph.training.checkpoint import load_checkpoint
from molgraph.training.comparison.budget import match
from molgraph.training.comparison.runs import compare
from molgraph.training.run import resume, train
from tests.choices import choice

CARBONS = ["C" * length + end for length in range(1, 13) for end in ("", "O", "N", "Cl", "C(=O)O", "c1ccccc1")]


def model(name):
    return choice("model", name)


@pytest.fixture
def config(tmp_path):
    rows = [f"{smiles},{smiles.count('C') + 0.5 * smiles.count('O')}" for smiles in CARBONS]
    (tmp_path / "carbons.csv").write_text("smiles,y\n" + "\n".join(rows) + "\n")
    rate = {"trainer.optimizer.learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}}
    candidates = {
        "gcn": {"model": model("gcn"), "width": {"model.encoder.hidden": 1}, "search": rate},
        "gru": {
            "model": model("gru"),
            "width": {"model.shape.width": 1},
            "search": rate | {"model.shape.layers": {"choices": [1, 2]}},
            "again": {"gru_x3": {"model.average": 3}},
        },
        "mean": {"model": model("mean")},
    }
    task = {
        "_target_": "molgraph.training.comparison.study.Study",
        "run": {"_target_": "molgraph.molecules.experiment.PropertyExperiment"},
        "budget": {"parameters": 20_000, "trials": 2, "seeds": [0, 1]},
        "candidates": candidates,
    }
    data = {"path": str(tmp_path / "carbons.csv"), "targets": ["y"], "batch_size": 16, "workers": 0}
    return {"data": data, "model": None, "task": task, "trainer": {"epochs": 2}, "logger": {"kind": "csv"}, "seed": 0}


@pytest.fixture
def study(config, tmp_path):
    train(config, tmp_path / "study", Console(file=io.StringIO(), width=200))
    return tmp_path / "study"


def test_every_candidate_has_the_same_budget(study):
    trials = json.loads((study / "trials.json").read_text())
    assert [trial["candidate"] for trial in trials] == ["gcn", "gcn", "gru", "gru", "mean"]
    for trial in trials[:4]:
        assert 18_000 <= trial["parameters"] <= 22_000
    results = [json.loads(path.read_text()) for path in study.glob("g*/results.json")]
    assert {result["split"] for result in results} == {results[0]["split"]}
    assert {result["steps"] for result in results} == {results[0]["steps"]}


def test_the_best_trial_on_validation_is_repeated_with_other_seeds(study):
    trials = [t for t in json.loads((study / "trials.json").read_text()) if t["candidate"] == "gru"]
    best = min(trials, key=lambda trial: trial["score"])
    other = yaml.safe_load((study / "gru_seed_1" / "config.yaml").read_text())
    chosen = yaml.safe_load((study / f"gru_trial_{best['number']}" / "config.yaml").read_text())
    assert other == chosen | {"seed": 1}
    table = (study / "comparison.md").read_text()
    for label in ("gcn", "gru", "gru_x3", "mean"):
        assert f"| {label} |" in table


def test_reading_again_keeps_the_weights_and_changes_the_prediction(study):
    first, again = study / "gru_seed_1", study / "gru_x3_seed_1"
    assert yaml.safe_load((again / "config.yaml").read_text())["model"]["average"] == 3
    left, right = (load_checkpoint(folder / "best.pt") for folder in (first, again))
    assert all(torch.equal(left["task"][name], right["task"][name]) for name in left["task"])
    assert yaml.safe_load(right["state"])["model"]["reading"]["average"] == 3
    assert (first / "predictions.csv").read_text() != (again / "predictions.csv").read_text()


def test_a_comparison_is_not_taken_for_a_run(study):
    with pytest.raises(ValueError, match="is a comparison itself"):
        compare([study])
    assert len(compare(sorted(study.glob("*_seed_1")))[1]) == 4


def test_what_is_finished_is_not_repeated(study):
    before = {path: path.stat().st_mtime_ns for path in study.glob("*/results.json")}
    (study / "gcn_seed_1" / "results.json").unlink()
    resume(study, console=Console(quiet=True))
    after = {path: path.stat().st_mtime_ns for path in study.glob("*/results.json")}
    assert {path for path in before if before[path] != after[path]} == {study / "gcn_seed_1" / "results.json"}


def test_a_key_that_no_model_has_is_named_with_its_candidate(config, tmp_path):
    config["task"]["candidates"]["gcn"]["search"] = {"model.encoder.depth": {"choices": [1, 2]}}
    with pytest.raises(ValueError, match=r"no key model\.encoder\.depth"):
        train(config, tmp_path / "study", Console(quiet=True))


def test_a_budget_out_of_reach_is_said(config, tmp_path):
    config["task"]["budget"]["parameters"] = 10
    with pytest.raises(ValueError, match=r"candidates\.gcn: no width gives 10 parameters"):
        train(config, tmp_path / "study", Console(quiet=True))


def test_the_width_comes_as_close_as_it_can():
    assert match(lambda width: width * width, 10_000, 0.1) == 104
    assert match(lambda width: 10 * width, 80, 0.1) == 8

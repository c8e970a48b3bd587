"""Comparison: intervals that cover what they should, and no comparison across splits."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from molgraph.training.comparison.page import to_markdown, write
from molgraph.training.comparison.runs import auroc, compare, expand, mode_of, rmse


def write_run(folder: Path, label: str, predicted: np.ndarray, truth: np.ndarray, split: str = "a" * 64, seed: int = 0):
    folder.mkdir(parents=True)
    config = {
        "model": {"_target_": f"molgraph.molecules.models.graph_predictor.{label}"},
        "trainer": {},
        "task": {},
        "seed": seed,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"label": label}))
    results = {
        "test": {"y": {"rmse": rmse(truth, predicted), "mae": 0.0, "r2": 0.0}},
        "monitor": "rmse",
        "split": split,
    }
    (folder / "results.json").write_text(json.dumps(results | {"parameters": 10, "seconds": 1.0}))
    lines = ["y,y_predicted", *(f"{t},{p}" for t, p in zip(truth, predicted, strict=True))]
    (folder / "predictions.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def runs(tmp_path):
    generator = np.random.default_rng(0)
    truth = generator.normal(size=300)
    for seed in range(3):
        write_run(tmp_path / f"good{seed}", "good", truth + generator.normal(size=300) * 0.3, truth, seed=seed)
        write_run(tmp_path / f"bad{seed}", "bad", truth + generator.normal(size=300) * 0.9, truth, seed=seed)
        write_run(tmp_path / f"same{seed}", "same", truth + generator.normal(size=300) * 0.3, truth, seed=seed)
    return tmp_path


def test_repetitions_are_averaged_and_the_best_model_comes_first(runs):
    monitor, rows = compare(expand([runs]))
    assert monitor == "rmse"
    assert [row.runs for row in rows] == [3, 3, 3]
    assert rows[-1].label == "bad"
    assert rows[0].metrics["rmse"][0] == pytest.approx(0.3, abs=0.03)
    assert rows[0].metrics["rmse"][1] > 0


def test_a_clear_difference_is_significant_and_no_difference_is_not(runs):
    rows = {row.label: row for row in compare(expand([runs]))[1]}
    assert rows["bad"].significant
    assert rows["bad"].difference.low < 0.6 < rows["bad"].difference.high
    assert not rows["same"].significant and not rows["good"].significant


def test_runs_on_different_splits_are_refused_by_name(runs):
    truth = np.zeros(300)
    write_run(runs / "other", "other", truth, truth, split="b" * 64)
    with pytest.raises(ValueError, match=r"different splits(.|\n)*bbbb.*other"):
        compare(expand([runs]))


def test_a_folder_without_runs_and_an_unfinished_run_are_named(runs, tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        expand([tmp_path / "nothing"])
    (runs / "good0" / "results.json").unlink()
    with pytest.raises(ValueError, match="did not finish"):
        compare([runs / "good0"])


def test_auroc_equals_scikit_learn_with_ties():
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 2, 200).astype(float)
    predicted = generator.integers(0, 9, 200) / 9
    assert auroc(truth, predicted) == pytest.approx(roc_auc_score(truth, predicted))
    assert np.isnan(auroc(np.ones(3), np.ones(3)))


def test_the_page_is_self_contained_and_holds_every_model(runs, tmp_path):
    monitor, rows = compare(expand([runs]))
    paths = write(tmp_path / "page", monitor, rows, "title")
    page = paths[2].read_text()
    assert "http" not in page.replace("http-equiv", "") and "data:image/png;base64," in page
    for label in ("good", "bad", "same"):
        assert label in page and label in to_markdown(monitor, rows)


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [("rmse", "min"), ("auroc", "max"), ("accuracy", "max"), ("nats_per_token", "min"), ("mse_all", "min")],
)
def test_the_better_direction_of_a_run_that_does_not_say_it_is_known(monitor, mode):
    assert mode_of({"monitor": monitor}) == mode
    assert mode_of({"monitor": monitor, "mode": "max"}) == "max"


def test_runs_that_differ_in_their_data_settings_are_two_models(runs):
    for seed in range(3):
        path = runs / f"same{seed}" / "config.yaml"
        config = yaml.safe_load(path.read_text()) | {"label": "good", "data": {"batch_size": 7}}
        path.write_text(yaml.safe_dump(config))
        path = runs / f"good{seed}" / "config.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"data": {"batch_size": 64}}))
    assert sorted(row.runs for row in compare(expand([runs]))[1]) == [3, 3, 3]


def test_one_run_given_twice_is_refused(runs):
    with pytest.raises(ValueError, match=r"good0 and .*good0 are one run twice"):
        compare([runs / "good0", runs / "good0", runs / "bad0"])


def test_the_validation_part_chooses_the_reference_not_the_test_part(runs):
    for folder in runs.iterdir():
        path = folder / "results.json"
        score = {"score": 0.1 if folder.name.startswith("bad") else 0.5}
        path.write_text(json.dumps(json.loads(path.read_text()) | score))
    rows = compare(expand([runs]))[1]
    assert [row.label for row in rows if row.is_reference] == ["bad"]
    assert rows[-1].label == "bad"


def test_a_single_run_of_each_says_that_the_noise_is_unknown(runs):
    monitor, rows = compare([runs / "good0", runs / "bad0"])
    assert "training noise unknown" in to_markdown(monitor, rows)

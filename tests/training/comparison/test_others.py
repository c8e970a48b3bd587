"""Every kind of run can be compared: by its numbers over seeds, or by its classes on resampled molecules."""

import csv
import json

import numpy as np
import pytest
import torch
import yaml

from molgraph.training.checkpoint import save_checkpoint
from molgraph.training.comparison.page import to_markdown, write
from molgraph.training.comparison.runs import compare

RESULTS = {
    "language": ("nats_per_token", "min", {"generation": {"valid": 0.5, "n": 64.0, "unique@32": 1.0}}),
    "translate": ("nats_per_token", "min", {"test": {"top1": 0.5, "beam": 5.0}}),
    "atoms": ("rmse", "min", {"test": {"rmse": 0.5}}),
    "simulation": ("mse_all", "min", {"model": {"escaped": 0.0}}),
}


def write_run(folder, kind, label, seed, score, **data):
    folder.mkdir()
    monitor, mode, more = RESULTS[kind]
    target = "molgraph.particles.models.X" if kind == "simulation" else "molgraph.sequences.X"
    config = {"model": {"_target_": target, "width": len(label)}, "task": {"_target_": kind}, "trainer": {}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"data": data, "seed": seed, "label": label}))
    part = "model" if kind == "simulation" else "validation"
    results = {"score": score, "monitor": monitor, "mode": mode} | more
    results |= {part: {monitor: score} | results.get(part, {})}
    if kind == "atoms":
        results["test"] = {monitor: score}
    (folder / "results.json").write_text(json.dumps(results))
    save_checkpoint(folder / "best.pt", {"task": {"weight": torch.zeros(3, 4)}})
    save_checkpoint(folder / "last.pt", {"progress": {"seconds": 2.5}})
    return folder


@pytest.mark.parametrize("kind", RESULTS)
def test_runs_that_are_judged_as_a_whole_are_compared_over_seeds(kind, tmp_path):
    scores = {"good": (0.50, 0.52, 0.51), "worse": (0.80, 0.83, 0.81), "same one": (0.51, 0.50, 0.53)}
    folders = [
        write_run(tmp_path / f"{label}{seed}", kind, label, seed, score, name="set")
        for label, values in scores.items()
        for seed, score in enumerate(values)
    ]
    monitor, rows = compare(folders)
    assert monitor == RESULTS[kind][0]
    found = {row.label: row for row in rows}
    assert found["good"].is_reference and found["worse"].significant and not found["same one"].significant
    assert (found["good"].parameters, found["good"].seconds) == (12, 2.5)
    assert found["good"].metrics[monitor][0] == pytest.approx(0.51)
    assert "| worse |" in to_markdown(monitor, rows)
    assert all(path.stat().st_size for path in write(tmp_path / "out", monitor, rows, "all"))
    assert all("n" not in row.metrics for row in rows)


def test_other_data_are_another_split(tmp_path):
    folders = [write_run(tmp_path / name, "language", name, 0, 0.5, name=name) for name in ("zinc", "moses")]
    with pytest.raises(ValueError, match="tested on different splits"):
        compare(folders)


def test_several_classes_are_compared_by_accuracy_on_resampled_molecules(tmp_path):
    generator, classes = np.random.default_rng(0), ["a", "b", "c"]
    truth = generator.integers(0, 3, 200)
    for label, right in (("good", 0.9), ("bad", 0.5)):
        for seed in range(3):
            folder = tmp_path / f"{label}{seed}"
            folder.mkdir()
            said = np.where(generator.random(200) < right, truth, (truth + 1) % 3)
            share = float(np.mean(said == truth))
            model = {"_target_": f"molgraph.molecules.models.{label}"}
            config = {"model": model, "trainer": {}, "task": {}, "seed": seed, "label": label}
            (folder / "config.yaml").write_text(yaml.safe_dump(config))
            results = {"test": {"y": {"accuracy": share, "f1": share}}, "monitor": "accuracy", "mode": "max"}
            results |= {"split": "s", "classes": [classes], "parameters": 1, "seconds": 1.0, "score": share}
            (folder / "results.json").write_text(json.dumps(results))
            with (folder / "predictions.csv").open("w", newline="") as file:
                rows = [[classes[t], classes[p]] for t, p in zip(truth, said, strict=True)]
                csv.writer(file).writerows([["y", "y_predicted"], *rows])
    monitor, (best, other) = compare([tmp_path / f"{label}{seed}" for label in ("bad", "good") for seed in range(3)])
    assert (monitor, best.label, best.metrics["accuracy"][0]) == ("accuracy", "good", pytest.approx(0.9, abs=0.05))
    assert other.significant and other.difference.low < -0.4 < other.difference.high

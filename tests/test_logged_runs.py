"""What a run finds arrives where it is logged: an offline folder of Weights & Biases, decoded, for each kind of run."""

import csv
import json
import struct
import time

import pytest
from rich.console import Console

from molgraph.cli import main
from molgraph.training.run import train
from tests.choices import choice

pytest.importorskip("wandb")
QUIET = Console(quiet=True)
LOGGED = {"kind": "wandb", "project": "tests", "name": "mine", "group": "ours", "tags": ["short"]}
TRAINER = {"epochs": 1, "threads": 1, "precision": "float32", "device": "cpu"}
GRU = {"shape": {"cell": "gru", "width": 16, "layers": 1, "dropout": 0.0}, "notation": "smiles", "longest": 48}
MOLECULES = ["C" * n + end for n in range(1, 11) for end in ("O", "N", "Cl", "C(=O)O")]


def records(path):
    """Yield the records of a ``.wandb`` file: LevelDB's log format, blocks of 32 KB, behind a head of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # the whole record, or its last piece
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def complete(path, patience=30.0):
    """Return all records of a run that has ended: a process of its own writes them, and may be a moment behind."""
    end = time.monotonic() + patience
    while True:
        found = list(records(path))
        if any(record.HasField("exit") for record in found) or time.monotonic() > end:
            return found
        time.sleep(0.1)


def logged(folder):
    """Return run, summary and the history keys of the only run logged below a folder."""
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    run, summary, history = None, {}, set()
    for record in complete(path):
        if record.HasField("run"):
            run = record.run
        for item in record.summary.update:
            summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
        history |= {"/".join(item.nested_key) or item.key for item in record.history.item}
    return run, summary, history


def check(folder, numbers, pictures):
    """The run carries its name, its numbers as the summary, and its pictures as files of the folder."""
    results = json.loads((folder / "results.json").read_text())
    run, summary, history = logged(folder)
    assert (run.display_name, run.run_group, list(run.tags)) == ("mine", "ours", ["short"])
    for name in numbers:
        wanted = results
        for part in name.split("/"):
            wanted = wanted[part]
        assert summary[name] == pytest.approx(wanted), name
    for name in pictures:
        assert any(key == name or key.startswith(f"{name}/") for key in history), (name, history)
        stem, suffix = name.split(".")
        assert list(folder.glob(f"wandb/offline-run-*/files/media/*/{stem}*.{suffix}"))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("smiles", "y"), *((text, len(text)) for text in MOLECULES)])
    return {"path": str(path), "targets": ["y"], "batch_size": 16, "workers": 0}


def test_of_a_property_run(table, tmp_path):
    task = {"_target_": "molgraph.molecules.experiment.PropertyExperiment"}
    values = {"data": table, "model": choice("model", "gcn"), "task": task, "trainer": TRAINER}
    train(values | {"logger": LOGGED, "seed": 0}, tmp_path, QUIET)
    check(tmp_path, ["test/y/rmse", "score"], ["parity.png"])


def test_of_a_baseline(table, tmp_path):
    task = {"_target_": "molgraph.molecules.experiment.PropertyExperiment"}
    values = {"data": table, "model": choice("model", "ridge"), "task": task, "trainer": TRAINER}
    train(values | {"logger": LOGGED, "seed": 0}, tmp_path, QUIET)
    check(tmp_path, ["test/y/rmse"], ["parity.png"])


def test_of_a_language_model(tmp_path):
    task = {"_target_": "molgraph.sequences.language.experiment.LanguageExperiment", "samples": 64}
    data = {"name": "moses_fragments", "val": 0.05, "test": 0.05, "limit": 600}
    trainer = TRAINER | {"epochs": 30, "optimizer": {"learning_rate": 0.02}}
    train({"data": data, "model": GRU, "task": task, "trainer": trainer, "logger": LOGGED, "seed": 0}, tmp_path, QUIET)
    assert (tmp_path / "samples.png").exists()
    check(tmp_path, ["generation/valid", "validation/nats_per_token"], ["samples.png"])


def test_of_a_translator(tmp_path):
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        rows = [(f"{one}.{other}", one + other) for one in MOLECULES[:10] for other in MOLECULES[10:20]]
        csv.writer(file).writerows([("reactants", "product"), *rows])
    task = {"_target_": "molgraph.sequences.translation.experiment.TranslationExperiment"}
    data = {"path": str(tmp_path / "pairs.csv"), "columns": ["reactants", "product"], "val": 0.1, "test": 0.1}
    model = GRU | {"shape": GRU["shape"] | {"attention": "dot"}}
    values = {"data": data, "model": model, "task": task | {"report": {"beam": 2, "pairs": 4}}, "trainer": TRAINER}
    train(values | {"logger": LOGGED, "seed": 0}, tmp_path / "run", QUIET)
    check(tmp_path / "run", ["test/top1", "validation/token_accuracy"], ["attention.png"])


def test_of_a_simulator(particles, tmp_path):
    windows = {"batch_size": 2, "steps_per_epoch": 2, "validation_steps": 4, "validation_starts": 1}
    task = choice("task", "simulation")
    values = {
        "data": {"_target_": "molgraph.particles.experiment.FolderSet", "folder": str(particles)},
        "model": choice("model", "gns") | {"width": 8, "blocks": 1},
        "task": task | {"windows": task["windows"] | windows},
        "trainer": TRAINER,
    }
    train(values | {"logger": LOGGED, "seed": 0}, tmp_path, QUIET)
    check(tmp_path, ["model/mse_all"], ["rollout.png", "rollout.gif"])


def test_of_a_comparison_and_of_each_of_its_runs(table, tmp_path):
    task = {
        "_target_": "molgraph.training.comparison.study.Study",
        "run": {"_target_": "molgraph.molecules.experiment.PropertyExperiment"},
        "budget": {"parameters": 1000, "trials": 1, "seeds": [0, 1]},
        "candidates": {"ridge": {"model": choice("model", "ridge")}, "mean": {"model": choice("model", "mean")}},
    }
    values = {"data": table, "model": None, "task": task, "trainer": TRAINER, "logger": LOGGED, "seed": 0}
    train(values, tmp_path / "study", QUIET)
    check(tmp_path / "study", ["models/ridge/rmse", "models/mean/p"], ["comparison.png"])
    run, summary, _ = logged(tmp_path / "study" / "ridge_seed_1")
    assert (run.run_group, run.display_name) == ("ours", "ridge, seed 1, ridge_seed_1")
    assert "test/y/rmse" in summary
    runs = [str(tmp_path / "study" / name) for name in ("ridge_seed_1", "mean_seed_1")]
    main(["compare", *runs, "-o", str(tmp_path / "side"), "--logger", "wandb"])
    run, summary, _ = logged(tmp_path / "side")
    assert run.display_name == "comparison, side"
    assert {"models/ridge/rmse", "models/mean/rmse"} <= set(summary)

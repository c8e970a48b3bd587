"""The command line end to end: on a table of sixty molecules, a small network and two epochs."""

import csv
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml

import molgraph
from molgraph.cli import main
from molgraph.training.checkpoint import load_checkpoint

ALCOHOLS = [f"{'C' * n}O" for n in range(1, 21)]
AMINES = [f"{'C' * n}N" for n in range(1, 21)]
RINGS = [f"C1C{'C' * n}C1" for n in range(20)]
SMILES = ALCOHOLS + AMINES + RINGS
TINY = [
    *("model.encoder.hidden=16", "model.encoder.layers=2", "trainer.precision=float32", "trainer.device=cpu"),
    "data.workers=0",
]


def write_table(path, header, rows, delimiter=","):
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    part = ["train"] * 8 + ["val", "test"]
    rows = [
        [f"n{i}, {'x' * (i % 3)}", s, i / 10, i % 2, "abc"[i % 3], part[i % 10], i % 2 if i % 4 else ""]
        for i, s in enumerate(SMILES)
    ]
    return write_table(folder / "all.csv", ["name", "smiles", "y", "toxic", "colour", "part", "rare"], rows)


def train(folder, tables, *overrides, epochs=2):
    base = ["data=csv", f"data.path={tables}", f"hydra.run.dir={folder}", f"trainer.epochs={epochs}"]
    main(["train", *base, *TINY, *overrides])
    return folder


@pytest.fixture(scope="session")
def run(tables, tmp_path_factory):
    """A finished regression."""
    return train(tmp_path_factory.mktemp("run") / "regression", tables, "data.targets=[y]", "model=gcn", epochs=3)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def fails(capsys, words):
    """Run a command that has to fail, and return its message."""
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    return capsys.readouterr().err


# train ---------------------------------------------------------------------------------------------------------------


def test_a_run_folder_holds_everything(run):
    names = {"config.yaml", "split.csv", "metrics.csv", "best.pt", "last.pt"}
    names |= {"results.json", "predictions.csv", "parity.png"}
    assert names <= {path.name for path in run.iterdir()}
    results = json.loads((run / "results.json").read_text())
    assert results["test"]["y"].keys() >= {"rmse", "mae", "r2"}
    assert {"val", "baseline", "parameters", "seconds", "score"} <= results.keys()
    assert len(rows_of(run / "metrics.csv")) == 3
    split = rows_of(run / "split.csv")
    assert [row["smiles"] for row in split] == SMILES
    predictions = rows_of(run / "predictions.csv")
    tested = [row["smiles"] for row in split if row["part"] == "test"]
    assert [row["smiles"] for row in predictions] == tested
    assert list(predictions[0]) == ["name", "smiles", "y", "toxic", "colour", "part", "rare", "y_predicted"]
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["epochs"] == 3


def test_the_terminal_says_device_data_table_and_folder(tables, tmp_path, capsys):
    train(tmp_path / "run", tables, "data.targets=[y]", epochs=1)
    printed = capsys.readouterr().out
    assert "CPU" in printed
    assert "rows: 60, all used" in printed
    assert "target y: numbers" in printed
    assert "mean predictor" in printed
    assert "run folder:" in printed


def test_units_are_printed(tmp_path, capsys):
    main(["train", "data=logbb", "trainer=debug", f"hydra.run.dir={tmp_path / 'run'}", *TINY])
    assert "logBB [log10 brain/blood]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "overrides", "monitor", "plot"),
    [
        ("two classes", ["data.targets=[toxic]"], "auroc", "curves.png"),
        (
            "several tasks with missing labels",
            ["data.targets=[toxic,rare]", "task.balance=true"],
            "auroc",
            "curves.png",
        ),
        ("three classes", ["data.targets=[colour]", "data.kind=multiclass"], "accuracy", "curves.png"),
        ("several targets", ["data.targets=[y,rare]", "data.kind=regression"], "rmse", "parity.png"),
        ("scaffolds", ["data.targets=[y]", "data.split=scaffold"], "rmse", "parity.png"),
        ("own split", ["data.targets=[y]", "data.split=column", "data.split_column=part"], "rmse", "parity.png"),
        ("descriptors", ["data.targets=[y]", "model.descriptors=rdkit"], "rmse", "parity.png"),
        (
            "everything",
            [
                "data.targets=[y]",
                "model=gatv2",
                "model.encoder.hidden=16",
                "trainer.ema=0.9",
                "trainer.precision=bf16",
                "data.hydrogens=true",
                "data.salts=largest",
                "data.stereo=false",
            ],
            "rmse",
            "parity.png",
        ),
    ],
)
def test_every_kind_of_problem_trains_and_predicts(tables, tmp_path, kind, overrides, monitor, plot):
    run = train(tmp_path / "run", tables, *overrides)
    results = json.loads((run / "results.json").read_text())
    assert results["monitor"] == monitor
    assert (run / plot).is_file()
    model = molgraph.load(run)
    predicted = model.predict(["CCCO", "C1CC", "CCCCN"])
    assert [prediction.values is None for prediction in predicted] == [False, True, False]
    first = rows_of(run / "predictions.csv")[0]
    again = dict(zip(model.columns(), model.cells(model.predict(first["smiles"])), strict=True))
    for name in model.columns()[:-1]:
        if kind == "three classes" and name.endswith("_predicted"):
            assert first[name] == again[name]
        else:
            assert float(first[name]) == pytest.approx(float(again[name]), abs=1e-3)


def test_a_split_is_handed_to_another_run(run, tables, tmp_path):
    other = train(
        tmp_path / "run", tables, "data.targets=[y]", "data.split=file", f"data.split_file={run / 'split.csv'}"
    )
    assert (other / "split.csv").read_bytes() == (run / "split.csv").read_bytes()


def test_two_jobs_run_in_one_process(tables, tmp_path):
    base = ["data=csv", f"data.path={tables}", "data.targets=[y]", "trainer.epochs=1", f"hydra.sweep.dir={tmp_path}"]
    main(["train", "-m", "model=gcn,dmpnn", *base, *TINY])
    models = [yaml.safe_load((tmp_path / job / "config.yaml").read_text())["model"]["encoder"] for job in "01"]
    assert [model["_target_"].rpartition(".")[2] for model in models] == ["GCN", "DMPNN"]
    assert all((tmp_path / job / "results.json").is_file() for job in "01")


def test_wandb_is_written_beside_the_csv_file(tables, tmp_path):
    pytest.importorskip("wandb")
    run = train(tmp_path / "run", tables, "data.targets=[y]", "logger=wandb", epochs=1)
    assert list((run / "wandb").glob("offline-run-*"))
    assert (run / "metrics.csv").is_file()


def test_rejected_rows_are_said_and_written(tmp_path, capsys):
    bad = [["C1CC[nH]", 1], ["", 2], ["CCS", "high"]]
    table = write_table(tmp_path / "bad.csv", ["smiles", "y"], [[s, i] for i, s in enumerate(SMILES)] + bad)
    run = train(tmp_path / "run", table, "data.targets=[y]", "data.on_error=skip", epochs=1)
    assert [row["row"] for row in rows_of(run / "rejected.csv")] == ["62", "63", "64"]
    printed = " ".join(capsys.readouterr().out.split())
    assert "60 used, 3 left out (2 without a SMILES that can be read" in printed
    assert "'C1CC[nH]'" in printed


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["train", "model=gnc"], ["Could not find 'model/gnc'", "gcn", "dmpnn"]),
        (["train", "data=esool"], ["Could not find 'data/esool'", "esol", "aqsoldb"]),
        (["train", "trainer.epoch=3"], ["epoch", "--cfg job"]),
        (["train", "model.hiden=3"], ["hiden", "--cfg job"]),
        (["train", "trainer.epochs=many"], ["many"]),
        (["train", "data=csv"], ["data.path"]),
        (["train", "data=csv", "data.path=none.csv", "data.targets=[y]"], ["none.csv does not exist"]),
        (["train", "+data.smile=x"], ["data has no key 'smile'; it has name, path"]),
        (["train", "+model.depth=3", "trainer=debug", "data=logbb"], ["depth", "encoder", "readout"]),
        (["train", "+model.encoder.hiden=3", "trainer=debug", "data=logbb"], ["does not take hiden; it takes"]),
        (["predict", "nowhere", "CCO"], ["nowhere", "does not exist"]),
        (["resume", "nowhere"], ["nowhere is not a run folder"]),
        (["evaluate", "nowhere", "-i", "x.csv"], ["nowhere"]),
    ],
)
def test_a_mistake_is_one_clear_message(capsys, tmp_path, monkeypatch, words, parts):
    monkeypatch.chdir(tmp_path)
    message = fails(capsys, words)
    assert "molgraph: " in message
    assert "Traceback" not in message
    for part in parts:
        assert part in message


def test_a_run_folder_is_not_overwritten(run, tables, capsys):
    message = fails(capsys, ["train", "data=csv", f"data.path={tables}", "data.targets=[y]", f"hydra.run.dir={run}"])
    assert f"molgraph resume {run}" in message


# predict -------------------------------------------------------------------------------------------------------------


def test_predict_prints_a_table_with_a_reason_for_what_it_cannot_read(run, capsys):
    main(["predict", str(run), "CC(=O)O", "C1CC", "c1ccc2c(c1)[nH]cc2", "[Na+].[Cl-]"])
    printed = capsys.readouterr().out
    assert "CC(=O)O" in printed
    assert "unclosed ring" in printed
    assert "c1ccc2c(c1)[nH]cc2" in printed
    assert "[Na+].[Cl-]" in printed


MESSY = [
    ["CCO", "a, quoted"],
    ["C1CC", "b"],
    ["", "c"],
    ["[Na+].[Cl-]", 'with "quotes"'],
    ["C" * 500, "long"],
    ["C", "two\nlines"],
    ["not a molecule", ""],
    ["[nH]1cccc1", "d"],
]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_predict_keeps_rows_columns_order_and_count(run, tmp_path, capsys, workers):
    rows = [[i, *MESSY[i % len(MESSY)]] for i in range(1300)]
    source = write_table(tmp_path / "in.csv", ["id", "smiles", "note"], rows)
    main(["predict", str(run), "-i", str(source), "-o", str(tmp_path / "out.csv"), "--workers", workers])
    got = rows_of(tmp_path / "out.csv")
    assert [[int(row["id"]), row["smiles"], row["note"]] for row in got] == rows
    assert list(got[0]) == ["id", "smiles", "note", "y_predicted", "error"]
    for row in got:
        assert bool(row["y_predicted"]) != bool(row["error"])
    assert [bool(row["error"]) for row in got[:8]] == [False, True, True, False, False, False, True, False]
    said = {row["note"]: row["y_predicted"] for row in got}
    assert [row["y_predicted"] for row in got] == [said[row["note"]] for row in got]
    assert "1,300 rows, 488 without a prediction" in capsys.readouterr().err


def test_predictions_do_not_depend_on_how_they_are_asked_for(run, tmp_path):
    model = molgraph.load(run)
    together = model.predict(SMILES)
    single = [model.predict(text) for text in SMILES]
    streamed = list(model.stream(iter(SMILES), workers=0))
    for first, second, third in zip(together, single, streamed, strict=True):
        assert first.values == pytest.approx(second.values, abs=1e-4)
        assert first.values == pytest.approx(third.values, abs=1e-6)
    assert model.predict([]) == []
    assert list(model.stream([], workers=0)) == []


def test_a_zipped_file_with_semicolons_and_another_column_is_predicted(run, tmp_path):
    with gzip.open(tmp_path / "in.csv.gz", "wt", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["id", "structure"], [1, "CCO"], [2, "CC"]])
    files = ["-i", str(tmp_path / "in.csv.gz"), "-o", str(tmp_path / "out.csv"), "--workers", "0"]
    main(["predict", str(run), *files, "--delimiter", ";", "--smiles-column", "structure"])
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "id;structure;y_predicted;error"
    assert len(lines) == 3


def test_an_empty_line_of_a_single_column_is_a_row(run, tmp_path):
    (tmp_path / "in.csv").write_text("smiles\nCCO\n\nCC\n")
    main(["predict", str(run), "-i", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv"), "--workers", "0"])
    got = rows_of(tmp_path / "out.csv")
    assert [(row["smiles"], row["error"]) for row in got] == [("CCO", ""), ("", "it is empty"), ("CC", "")]


def test_a_row_with_too_many_or_too_few_cells_keeps_its_place(run, tmp_path):
    (tmp_path / "in.csv").write_text("id,smiles,note\n1,CCO,a,b\n2,CC\n3,C,c\n")
    main(["predict", str(run), "-i", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv"), "--workers", "0"])
    got = rows_of(tmp_path / "out.csv")
    assert [(row["id"], bool(row["y_predicted"])) for row in got] == [("1", False), ("2", False), ("3", True)]
    assert "4 cells, the header 3" in got[0]["error"]
    assert "2 cells, the header 3" in got[1]["error"]


def test_smiles_of_the_command_line_are_written_where_o_says(run, tmp_path):
    main(["predict", str(run), "CCO", "C1CC", "-o", str(tmp_path / "new" / "x.csv")])
    header, good, bad = (tmp_path / "new" / "x.csv").read_text().splitlines()
    assert header == "smiles,y_predicted,error"
    assert good.startswith("CCO,") and good.endswith(",") and bad.startswith("C1CC,,")


def test_a_delimiter_is_found_and_kept(run, tmp_path):
    (tmp_path / "in.csv").write_text("smiles;note\nCCO;1,5\nCC\nC;2,5\n", encoding="utf-16")
    main(["predict", str(run), "-i", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv"), "--workers", "0"])
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "smiles;note;y_predicted;error"
    assert len(lines) == 4 and lines[1].startswith("CCO;1,5;") and "the row has 1 cells" in lines[2]


def test_without_a_file_to_write_the_table_goes_to_the_terminal(run, tmp_path, capsys):
    source = write_table(tmp_path / "in.csv", ["smiles"], [["CCO"], ["CC"]])
    main(["predict", str(run), "-i", str(source), "--workers", "0"])
    assert capsys.readouterr().out.splitlines()[0] == "smiles,y_predicted,error"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-i", "in.csv", "-o", "in.csv"], "is the input itself"),
        (["CCO", "-i", "in.csv"], "and not both"),
        ([], "give SMILES, or a file with -i"),
        (["-i", "none.csv"], "none.csv does not exist"),
        (["-i", "in.csv", "--smiles-column", "x"], "has no column 'x'; its columns are smiles"),
        (["-i", "double.csv"], "has the column 'a' more than once"),
    ],
)
def test_a_wrong_input_of_predict_is_named_and_nothing_is_written(run, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("smiles\nCCO\n")
    (tmp_path / "double.csv").write_text("smiles,a,a\nCCO,1,2\n")
    (tmp_path / "semicolon.csv").write_text("smiles;a\nCCO;1\n")
    assert message in fails(capsys, ["predict", str(run), *words])
    assert (tmp_path / "in.csv").read_text() == "smiles\nCCO\n"


def test_a_failed_predict_does_not_destroy_an_older_output(run, tmp_path, capsys):
    (tmp_path / "out.csv").write_text("precious\n")
    fails(capsys, ["predict", str(run), "-i", str(tmp_path / "none.csv"), "-o", str(tmp_path / "out.csv")])
    assert (tmp_path / "out.csv").read_text() == "precious\n"


def test_a_damaged_checkpoint_is_refused(run, tmp_path, capsys):
    whole = (run / "best.pt").read_bytes()
    (tmp_path / "best.pt").write_bytes(whole[: len(whole) // 2])
    assert "truncated or not a checkpoint" in fails(capsys, ["predict", str(tmp_path), "CCO"])


# evaluate and data ---------------------------------------------------------------------------------------------------


def test_explain_draws_what_the_model_looked_at(run, tmp_path, capsys):
    main(["explain", str(run), "CCO", "c1ccccc1O", "-o", str(tmp_path / "out")])
    assert (tmp_path / "out" / "2_gradient.svg").exists() and (tmp_path / "out" / "1_gradient.png").exists()
    assert "gradient x input" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["CCO", "--by", "attention"], "this model has no attention; use --by gradient"),
        (["C1CC"], "'C1CC' cannot be explained: unclosed ring"),
        (["CCO", "--target", "z"], "the model predicts y; there is no target 'z'"),
    ],
)
def test_what_cannot_be_explained_is_said_and_nothing_is_written(run, tmp_path, capsys, words, message):
    with pytest.raises(SystemExit):
        main(["explain", str(run), *words, "-o", str(tmp_path / "out")])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_spread_over_random_writings_is_an_uncertainty(tables, tmp_path, capsys):
    small = ["model.shape.width=8", "model.shape.layers=1", "trainer.device=cpu", "data.workers=0", "trainer.epochs=1"]
    folder, data = (
        tmp_path / "gru",
        ["data=csv", f"data.path={tables}", "data.targets=[y,toxic]", "data.kind=regression"],
    )
    main(["train", *data, *small, "model=gru", "model.average=4", f"hydra.run.dir={folder}"])
    first, methane = molgraph.load(folder).predict(["CCCCO", "C"])
    assert len(first.spread) == 2 and min(first.spread) > 0
    assert methane.spread == pytest.approx([0, 0], abs=1e-6)  # it can be written in one way only
    capsys.readouterr()
    main(["predict", str(folder), "CCCCO", "C1CC"])
    assert "spread" in capsys.readouterr().out
    source = write_table(tmp_path / "in.csv", ["smiles"], [["CCCCO"], ["C1CC"], ["CC[Si]CBr"]])
    main(["predict", str(folder), "-i", str(source), "-o", str(tmp_path / "out.csv")])
    rows = rows_of(tmp_path / "out.csv")
    columns = ["y_predicted", "toxic_predicted", "y_spread", "toxic_spread", "unknown_tokens", "error"]
    assert list(rows[0]) == ["smiles", *columns]
    assert float(rows[0]["y_spread"]) == pytest.approx(first.spread[0], rel=1e-2)
    assert rows[1]["y_spread"] == "" and "ring" in rows[1]["error"]
    assert rows[2]["unknown_tokens"] == "[Si] Br" and rows[2]["y_predicted"]


def test_evaluate_finds_the_error_of_the_test_part_again(run, tmp_path, capsys):
    predictions = rows_of(run / "predictions.csv")
    rows = [[row["smiles"], row["y"]] for row in predictions] + [["C1CC", 1], ["CC", "x"]]
    source = write_table(tmp_path / "test.csv", ["smiles", "y"], rows)
    main(["evaluate", str(run), "-i", str(source)])
    printed = capsys.readouterr().out
    rmse = json.loads((run / "results.json").read_text())["test"]["y"]["rmse"]
    assert f"{rmse:.3f}" in printed
    assert "unclosed ring" in printed
    assert "not a number" in printed


def test_data_lists_every_named_set(capsys):
    main(["data"])
    printed = capsys.readouterr().out
    for name in ("aqsoldb", "b3db", "logbb", "qm9_10k", "esol", "freesolv", "bbbp", "tox21", "hiv", "qm9"):
        assert name in printed


# processes -----------------------------------------------------------------------------------------------------------


def python(*words, **options):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, **options)


def test_help_imports_neither_torch_nor_rdkit():
    code = (
        "import sys; from molgraph.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'rdkit', 'dgl', 'hydra', 'ase', 'wandb', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = python("-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    for verb in ("train", "predict", "evaluate", "explain", "compare", "resume", "data"):
        assert verb in done.stdout


def test_a_trained_run_killed_in_an_epoch_and_resumed_ends_with_the_same_weights(tables, tmp_path):
    words = ["data.targets=[y]", "data.batch_size=4", "trainer.checkpoint_every=5", "trainer.ema=0.9"]
    words += ["model.encoder.dropout=0.2", "model.head_dropout=0.2"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(whole, tables, *words, epochs=15)
    command = ["data=csv", f"data.path={tables}", f"hydra.run.dir={cut}", "trainer.epochs=15", *TINY, *words]
    process = subprocess.Popen(
        [sys.executable, "-m", "molgraph", "train", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert stop_within_an_epoch(process, cut / "last.pt"), "the run ended before it could be killed"
    progress = load_checkpoint(cut / "last.pt")["progress"]
    assert progress["batch"] > 0
    assert not (cut / "results.json").exists()
    main(["resume", str(cut)])
    assert (cut / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    for name in ("best.pt", "last.pt"):
        first, second = load_checkpoint(cut / name), load_checkpoint(whole / name)
        for key, value in first["task"].items():
            assert torch.equal(value, second["task"][key]), key
        for one, other in zip(first.get("average", []), second.get("average", []), strict=True):
            assert torch.equal(one, other)
    assert (cut / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()


def stop_within_an_epoch(process, checkpoint):
    """Kill a training (SIGKILL) when its last checkpoint lies within an epoch."""
    end = time.monotonic() + 100
    while process.poll() is None and time.monotonic() < end:
        if checkpoint.exists():
            os.kill(process.pid, signal.SIGSTOP)
            progress = load_checkpoint(checkpoint)["progress"]
            if progress["batch"] > 0 and progress["epoch"] > 0:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                return True
            os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.01)
    process.kill()
    return False


def test_python_trains_and_resumes_as_the_command_line_does(tables, tmp_path):
    encoder = {"_target_": "molgraph.molecules.models.encoders.GCN", "hidden": 16}
    config = {
        "data": {"path": str(tables), "targets": ["y"], "workers": 0},
        "model": {"_target_": "molgraph.molecules.models.graph_predictor.GraphPredictor", "encoder": encoder},
        "task": {"_target_": "molgraph.molecules.experiment.PropertyExperiment"},
        "trainer": {"epochs": 1, "device": "cpu"},
        "seed": 0,
    }
    first = molgraph.train(config, str(tmp_path / "run"))
    again = molgraph.resume(str(tmp_path / "run"))
    assert first["test"] == again["test"]
    assert molgraph.load(str(tmp_path / "run")).predict("CCO").values is not None


def test_resume_takes_changes_as_train_does(tables, tmp_path):
    run = train(tmp_path / "run", tables, "data.targets=[y]", epochs=1)
    main(["resume", str(run), "trainer.epochs=2", "trainer.optimizer.learning_rate=1e-4"])
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["trainer"]["epochs"], config["trainer"]["optimizer"]["learning_rate"]) == (2, 1e-4)
    assert len(rows_of(run / "metrics.csv")) == 2


def test_a_folder_for_the_output_is_made_before_the_work(run, tmp_path, capsys):
    target = tmp_path / "new" / "folder" / "x.csv"
    main(["predict", str(run), "CCO", "C1CC", "-o", str(target)])
    rows = target.read_text().splitlines()
    assert rows[0] == "smiles,y_predicted,error"
    assert rows[2] == "C1CC,,unclosed ring"


def test_a_file_that_is_not_there_is_one_line(tmp_path, capsys):
    for words in (["simulate", "--import", str(tmp_path / "no.npz"), "-o", str(tmp_path / "set"), "--dt", "1"],):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 2
        assert "no.npz: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: ["])
def test_a_configuration_that_somebody_edited_is_named(run, tmp_path, text, capsys):
    shutil.copytree(run, tmp_path / "edited")
    (tmp_path / "edited" / "config.yaml").write_text(text)
    for verb in (["resume"], ["compare"]):
        with pytest.raises(SystemExit) as stopped:
            main([*verb, str(tmp_path / "edited")])
        assert stopped.value.code == 2
        assert "config.yaml" in capsys.readouterr().err


def test_words_for_classes_are_read_and_the_reading_is_said(tmp_path, capsys):
    rows = "".join(f"{'C' * n}O,{'Active' if n % 2 else 'inactive'}\n" for n in range(1, 41))
    (tmp_path / "assay.csv").write_text("SMILES,y\n" + rows)
    main(["train", "data=csv", f"data.path={tmp_path / 'assay.csv'}", "data.targets=[y]", "model=mean",
          f"hydra.run.dir={tmp_path / 'run'}"])  # fmt: skip
    printed = capsys.readouterr().out
    assert "target y: 2 classes (inactive: 20, active: 20)" in printed
    assert "'inactive' is read as 0, 'active' as 1" in printed
    assert "molecules in the column 'SMILES'" in printed


def test_a_table_of_ones_own_needs_no_grammar(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{n};CPD-{n};{'C' * n}O;{n * 0.5}\n" for n in range(1, 41))
    (tmp_path / "assay =[1].csv").write_text("No;Compound;Structure (SMILES);IC50 [nM]\n" + rows)
    main(["train", "assay =[1].csv", "model=ridge", f"hydra.run.dir={tmp_path / 'run'}"])
    printed = capsys.readouterr().out
    assert "'Structure (SMILES)', 100% of the first 40 parse" in printed and "IC50 [nM]" in printed
    assert json.loads((tmp_path / "run" / "results.json").read_text())["test"].keys() == {"IC50 [nM]"}


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("smiles,a,b\nCC,1.5,2\nCCC,2.5,1\n", [], r"several columns could be the target: a, b; choose: molgraph train"),
        ("smiles,note\nCC,x\nCCC,y\n", [], r"no column holds numbers or labels"),
        ("a,b\n1.5,2.5\n2,1\n", [], r"no column of which half is SMILES"),
        ("smiles,a\nCC,1.5\nCCC,2\n", ["--target", "z"], r"has no column 'z'; its columns are smiles, a"),
    ],
)
def test_columns_that_cannot_be_told_are_asked_for(tmp_path, capsys, text, words, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(tmp_path / "t.csv"), *words])
    assert stopped.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_table_that_is_not_there_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["train", str(tmp_path / "asay.csv")])
    assert "asay.csv" in capsys.readouterr().err


def test_the_exit_code_says_whether_rows_failed(run, tmp_path):
    assert main(["predict", str(run), "CCO"]) == 0
    assert main(["predict", str(run), "CCO", "nonsense"]) == 3
    write_table(tmp_path / "in.csv", ["smiles"], [["CCO"], ["nonsense"]])
    assert main(["predict", str(run), "-i", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv")]) == 3


def test_an_interrupted_prediction_goes_on_behind_what_is_written(run, tmp_path, capsys):
    source, whole, out = tmp_path / "in.csv", tmp_path / "whole.csv", tmp_path / "out.csv"
    rows = [[n, f"{'C' * (n % 30 + 1)}O"] for n in range(1300)]
    rows[7][1] = "nonsense"
    write_table(source, ["id", "smiles"], rows)
    main(["predict", str(run), "-i", str(source), "-o", str(whole)])
    text = whole.read_bytes()
    for cut in (len(text) // 2, len(text) // 3, 5):
        (tmp_path / "out.csv.part").write_bytes(text[:cut])
        main(["predict", str(run), "-i", str(source), "-o", str(out), "--resume"])
        again, first = rows_of(out), rows_of(whole)
        assert [(row["id"], row["smiles"], row["error"]) for row in again] == [
            (row["id"], row["smiles"], row["error"]) for row in first
        ]
        predicted = [
            (float(row["y_predicted"] or 0), float(other["y_predicted"] or 0))
            for row, other in zip(again, first, strict=True)
        ]
        assert all(one == pytest.approx(two, rel=1e-4) for one, two in predicted)
        assert not (tmp_path / "out.csv.part").exists()
        out.unlink()
    (tmp_path / "out.csv.part").write_text(text.decode().replace("\n3,", "\n33,"))
    with pytest.raises(SystemExit):
        main(["predict", str(run), "-i", str(source), "-o", str(out), "--resume"])
    assert "is not of this input" in capsys.readouterr().err


def test_learned_fingerprints_are_written_beside_the_columns(run, tmp_path):
    from pyarrow import parquet

    source, out = tmp_path / "in.csv", tmp_path / "out.parquet"
    write_table(source, ["id", "smiles"], [[1, "CCO"], [2, "nonsense"], [3, "CCC"]])
    assert main(["predict", str(run), "-i", str(source), "-o", str(out), "--embedding"]) == 3
    table = parquet.read_table(out).to_pydict()
    assert (table["id"], table["smiles"]) == (["1", "2", "3"], ["CCO", "nonsense", "CCC"])
    learned = molgraph.embed(run, ["CCO", "CCC"])
    columns = [name for name in table if name.startswith("embedding_")]
    assert len(columns) == learned.shape[1]
    assert [table[name][0] for name in columns] == pytest.approx(learned[0].tolist(), rel=1e-5)
    assert all(table[name][1] is None for name in columns)


def test_a_plan_says_what_was_understood_and_trains_nothing(tmp_path, capsys):
    rows = "".join(
        f"{'C' * (n % 37 + 1)}O;>{n},5;x\n" if n % 9 == 0 else f"{'C' * (n % 37 + 1)}O;{10 ** (n % 5)},5;x\n"
        for n in range(1, 61)
    )
    (tmp_path / "assay.csv").write_text("Structure;IC50 [nM];note\n" + rows + "CC;2020-01-02;x\n[Na+].[Cl-];n.d.;x\n")
    run = tmp_path / "run"
    assert main(["train", str(tmp_path / "assay.csv"), "--plan", "model=gcn", f"hydra.run.dir={run}", *TINY]) == 0
    printed = capsys.readouterr().out
    for words in (
        "semicolons between cells",
        "the column 'Structure'",
        "60 used, 2 left out",
        "1 dates",
        "1,5 is read as 1.5",
        "6 bounds (6 with >, 0 with <)",
        "data.transform=p",
        "repeats: 23 molecules on 46 rows",
        "split: random, ",
        "nothing is trained",
    ):
        assert words in printed, (words, printed)
    assert len(printed.splitlines()) <= 15
    assert not (run / "last.pt").exists()


@pytest.mark.parametrize("way", ["log10", "p"])
def test_bounds_and_scales_go_through_training_prediction_and_evaluation(tmp_path, capsys, way):
    rows = "".join(f"{'C' * n}O,{'>' if n % 8 == 0 else ''}{2.0**n}\n" for n in range(1, 41))
    (tmp_path / "assay.csv").write_text("smiles,IC50 [nM]\n" + rows)
    run = tmp_path / "run"
    main(["train", str(tmp_path / "assay.csv"), f"data.transform={way}", "model=ridge", f"hydra.run.dir={run}"])
    results = json.loads((run / "results.json").read_text())
    name = {"p": "pIC50", "log10": "log10(IC50 [nM])"}[way]
    assert results["test"][name]["r2"] > 0.8
    predicted = rows_of(run / "predictions.csv")[0]
    exponent = float(predicted[f"{name}_predicted"])
    assert float(predicted["IC50 [nM]_predicted"]) == pytest.approx(
        10 ** (9 - exponent if way == "p" else exponent), rel=1e-3
    )
    main(["evaluate", str(run), "-i", str(tmp_path / "assay.csv")])
    assert name.split()[0] in capsys.readouterr().out.partition("RMSE")[2]


def test_a_table_without_a_molecule_keeps_its_rows_when_fingerprints_are_asked_for(run, tmp_path):
    write_table(tmp_path / "in.csv", ["id", "smiles"], [[1, "nonsense"], [2, ""]])
    words = ["predict", str(run), "-i", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv"), "--embedding"]
    assert main(words) == 3
    rows = rows_of(tmp_path / "out.csv")
    assert [row["id"] for row in rows] == ["1", "2"]
    assert all(row["embedding_0"] == "" for row in rows)


def test_a_molecule_whose_rows_are_tied_is_listed_with_the_rows_left_out(tmp_path):
    rows = "".join(f"{'C' * n}O,{n % 2}\n" for n in range(1, 41))
    (tmp_path / "t.csv").write_text("smiles,y\n" + rows + "CCN,0\nNCC,1\n")
    run = tmp_path / "run"
    main(["train", str(tmp_path / "t.csv"), "data.duplicates=mean", "model=mean", f"hydra.run.dir={run}"])
    (left_out,) = rows_of(run / "rejected.csv")
    assert (left_out["row"], "as many each" in left_out["reason"]) == ("42", True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n: f"{n / 4:.2f}".replace(".", ","), ["data.decimal=comma"]),
        (lambda n: f">{n / 4}" if n % 7 == 0 else n / 4, []),
        (lambda n: 10.0 ** (n / 4), ["data.transform=log10"]),
        (lambda n: ("inactive", "active")[n % 2], []),
        (lambda n: ("low", "mid", "high")[n % 3], ["model=gcn"]),
    ],
    ids=["decimal comma", "bounds", "another scale", "words", "three words"],
)
def test_runs_are_compared_by_what_was_measured_however_it_is_written(tmp_path, change, words):
    rows = "".join(f"{'C' * n}O;{change(n)}\n" for n in range(1, 81))
    (tmp_path / "t.csv").write_text("smiles;y\n" + rows)
    model = [] if any("model=" in word for word in words) else ["model=ridge"]
    split = "data.fractions=[0.6,0.1,0.3]"
    run = tmp_path / "run"
    main(["train", str(tmp_path / "t.csv"), *words, *model, split, "trainer.epochs=1", f"hydra.run.dir={run}"])
    ((name, metrics),) = json.loads((run / "results.json").read_text())["test"].items()
    (row,) = molgraph.compare([run])
    assert name in ("y", "log10(y)")
    assert row["scores"][0] == pytest.approx(metrics[row["monitor"]], rel=1e-3)

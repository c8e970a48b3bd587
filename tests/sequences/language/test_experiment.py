import csv
import io
import json

import numpy as np
import pytest
import torch
from rich.console import Console

from molgraph.sequences.language.experiment import LanguageBatch, LanguageExperiment, LanguageTask, measured
from molgraph.sequences.language.generator import Choosing, Condition, Generator
from molgraph.sequences.language.samples import generate
from molgraph.sequences.layers.architecture import make_decoder, make_shape
from molgraph.sequences.text.batch import pad
from molgraph.training.run import resume, train

GRU = {"cell": "gru", "width": 48, "layers": 1, "dropout": 0.0}
TRANSFORMER = {"width": 32, "layers": 2, "heads": 4, "feed_forward": 64, "dropout": 0.0}
QUIET = Console(quiet=True)


def config(shape, steps=60, **task):
    return {
        "data": {"name": "moses_fragments", "val": 0.05, "test": 0.05, "limit": 2000},
        "model": {"shape": shape, "notation": "smiles", "longest": 48},
        "task": {
            "_target_": "molgraph.sequences.language.experiment.LanguageExperiment",
            "batch_size": 64,
            "samples": 64,
        }
        | task,
        "trainer": {"epochs": 50, "max_steps": steps, "threads": 1, "precision": "float32", "device": "cpu"}
        | {"optimizer": {"learning_rate": 0.01}, "checkpoint_every": 10},
        "seed": 0,
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    train(config(GRU, 250), folder / "language", QUIET)
    train(config(TRANSFORMER, 30, conditions=["logp", "weight"]), folder / "conditional", QUIET)
    return folder


def test_padding_has_no_part_in_the_loss():
    torch.manual_seed(0)
    task = LanguageTask(make_decoder(make_shape(GRU), 10)).eval()
    rows = [[1, 5, 6, 7, 8, 2], [1, 5, 2]]
    together = task.loss(LanguageBatch(pad(rows)))
    alone = sum(task.loss(LanguageBatch(pad([row]))) * (len(row) - 1) for row in rows) / 7
    torch.testing.assert_close(together, alone)
    metrics = task.evaluate([LanguageBatch(pad([row])) for row in rows])
    assert metrics["nats_per_token"] == pytest.approx(together.item(), rel=1e-5)
    assert metrics["nats_per_molecule"] == pytest.approx(together.item() * 7 / 2, rel=1e-5)


def test_a_run_learns_and_reports(runs):
    results = json.loads((runs / "language" / "results.json").read_text())
    assert results["validation"]["nats_per_token"] < 1.3
    generation = results["generation"]
    assert generation["valid"] > 0.15
    assert {
        f"unique@{generation['n_valid']:.0f}",
        "novelty",
        "internal_diversity",
        "scaffold_similarity",
        "invalid_reasons",
    } <= set(generation)
    assert (runs / "language" / "samples.png").exists()


def test_generate_writes_a_row_for_each_molecule(runs, tmp_path):
    metrics = generate(runs / "language", 50, Choosing(seed=3), out=tmp_path / "some.csv", console=QUIET)
    rows = list(csv.DictReader((tmp_path / "some.csv").open()))
    assert list(rows[0]) == ["smiles", "canonical", "valid", "log_likelihood", "novel", "reason"]
    assert len(rows) == 50
    assert sum(row["valid"] == "1" for row in rows) / 50 == metrics["valid"]
    assert all(row["reason"] for row in rows if row["valid"] == "0")
    assert all(float(row["log_likelihood"]) < 0 for row in rows)
    assert json.loads((tmp_path / "some.json").read_text())["n"] == 50


def test_a_seed_repeats_and_the_temperature_matters(runs):
    generator = Generator.load(runs / "language", "cpu")
    first = generator.write(30, Choosing(seed=1))
    assert first == generator.write(30, Choosing(seed=1)) != generator.write(30, Choosing(seed=2))
    cool = generator.write(200, Choosing(temperature=0.5))
    assert np.mean([p for _, p in cool]) > np.mean([p for _, p in generator.write(200)])


def test_molecules_begin_with_the_start_and_a_beam_finds_the_most_probable(runs):
    generator = Generator.load(runs / "language", "cpu")
    assert all(text.startswith("c1ccccc1") for text, _ in generator.write(10, Choosing(start="c1ccccc1")))
    beam = generator.write(5, Choosing(beam=5))
    assert len({text for text, _ in beam}) == 5
    assert len(generator.write(2, Choosing(beam=5))) == 2


@pytest.mark.parametrize(
    ("count", "choosing", "message"),
    [
        (5, Choosing(start="C[Xx]"), r"start 'C\[Xx\]' has tokens that were not in the training part: \[Xx\]"),
        (5, Choosing(start="C" * 60), "has 60 tokens; the model writes at most 46"),
        (0, Choosing(), "0 molecules are asked for"),
        (5, Choosing(temperature=-1), "temperature is -1"),
    ],
)
def test_what_cannot_be_generated_is_refused(runs, count, choosing, message):
    with pytest.raises(ValueError, match=message):
        Generator.load(runs / "language", "cpu").write(count, choosing)


def test_a_conditional_run_reports_asked_and_got(runs):
    results = json.loads((runs / "conditional" / "results.json").read_text())
    assert set(results["generation"]["asked"]) == {"logp", "weight"}
    generator = Generator.load(runs / "conditional", "cpu")
    assert [condition.name for condition in generator.conditions] == ["logp", "weight"]
    values, notes = generator.wanted({"logp": 1.5})
    assert values[0, 0] == 1.5
    assert "weight is not asked for" in notes[0]
    assert len(generator.write(7, wanted=values)) == 7


def test_asking_for_a_value_is_scored_and_drawn(runs, tmp_path):
    out = tmp_path / "wish.csv"
    metrics = generate(runs / "conditional", 200, asked={"logp": 1.5, "weight": 150}, out=out, console=QUIET)
    assert metrics["n_valid"] > 0
    assert metrics["asked"]["logp"]["asked_mean"] == 1.5
    assert metrics["asked"]["logp"]["n"] == metrics["n_valid"]
    written = {path.name for path in tmp_path.iterdir()}
    assert {"wish.csv", "wish.json", "wish.png", "wish_asked_logp.png", "wish_asked_weight.png"} <= written
    assert "NaN" not in (tmp_path / "wish.json").read_text()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"logp": 50}, "logp=50 cannot be reached: the training molecules go from"),
        ({"qed": 0.5}, "cannot be asked for qed"),
    ],
)
def test_a_value_out_of_reach_is_refused(runs, asked, message):
    with pytest.raises(ValueError, match=message):
        generate(runs / "conditional", 3, asked=asked, console=QUIET)


def test_a_model_without_conditions_says_so(runs):
    with pytest.raises(ValueError, match="it knows nothing"):
        generate(runs / "language", 3, asked={"logp": 1.0}, console=QUIET)
    with pytest.raises(ValueError, match="can be asked for logp, weight; give a value"):
        Generator.load(runs / "conditional", "cpu").write(3)


def test_a_run_that_was_interrupted_ends_with_the_same_weights(tmp_path):
    train(config(GRU, 40, samples=4), tmp_path / "whole", QUIET)
    stop_after(config(GRU, 40, samples=4), tmp_path / "cut", 13)
    resume(tmp_path / "cut", console=QUIET)
    ours, theirs = (torch.load(tmp_path / name / "last.pt", weights_only=True)["task"] for name in ("whole", "cut"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def stop_after(values, folder, steps):
    """Trains and breaks off in the middle of an epoch."""
    original = LanguageTask.loss
    count = 0

    def loss(self, batch):
        nonlocal count
        count += 1
        if count > steps:
            raise KeyboardInterrupt
        return original(self, batch)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LanguageTask, "loss", loss)
        train(values, folder, QUIET)


def test_a_column_of_the_file_can_be_a_condition(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(
        "smiles,colour\n" + "".join(f"{'C' * (row % 28 + 1)}O,{row % 28}\n" for row in range(280)) + "CC,\nC1,3\n"
    )
    texts, values = measured([("CCO", "1.5"), ("C1", "2"), ("CC", "")], ["colour", "logp"])
    assert texts == ["CCO"]
    assert values[0, 0] == 1.5
    data = {"path": str(path), "columns": ["smiles"], "val": 0.2, "test": 0.1}
    model = {"shape": GRU, "longest": 32}
    experiment = LanguageExperiment(data, model, 0, tmp_path, QUIET, 16, ["colour"]).prepare()
    batch = next(experiment.train.epoch(0))
    assert batch.condition.shape == (16, 1)
    (condition,) = experiment.conditions
    lengths = batch.sequences.lengths - 4  # <bos>, O, <eos>, and colour 0 has one carbon
    torch.testing.assert_close(batch.condition[:, 0] * condition.std + condition.mean, lengths.float())


def test_prose_is_learned_whole_and_not_judged_as_molecules(tmp_path):
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"]
    lines = [f"{words[i % 9]} {words[i // 9]} {words[(i + i // 9) % 9]}" for i in range(81)]
    (tmp_path / "own.txt").write_text("\n".join(lines))
    values = config(GRU)
    values["data"] = {"path": str(tmp_path / "own.txt"), "val": 0.2, "test": 0.0}
    values["model"] = {"shape": GRU, "notation": "characters", "longest": 48}
    values["task"]["samples"], values["trainer"]["max_steps"] = 12, 5
    train(values, tmp_path / "run", QUIET)
    assert json.loads((tmp_path / "run" / "results.json").read_text())["generation"] == {"n": 12.0}
    rows = list(csv.DictReader((tmp_path / "run" / "samples.csv").open()))
    assert list(rows[0]) == ["text", "log_likelihood"]
    assert len(rows) == 12
    assert " " in Generator.load(tmp_path / "run").vocabulary.tokens


def test_a_corpus_without_validation_rows_is_refused(tmp_path):
    with pytest.raises(ValueError, match="to validate"):
        LanguageExperiment({"name": "moses_fragments", "val": 0.0}, {"shape": GRU}, 0, tmp_path, QUIET).prepare()


def test_what_a_training_leaves_out_is_said(tmp_path):
    path = tmp_path / "own.csv"
    rows = ["CCO,1.0", "CCN,2.0", "CC(C)O,3.0"] * 40 + ["C1CC,1", ",1", "C" * 60 + ",1", "CCCl,none", "CCBr"]
    path.write_text("smiles,value\n" + "\n".join(rows) + "\n")
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    values = config(GRU)["model"]
    data = {"path": str(path), "columns": ["smiles"], "val": 0.1, "test": 0.0, "group": "none"}
    experiment = LanguageExperiment(data, values, 0, tmp_path, console, conditions=["value"]).prepare()
    assert len(experiment.train.corpus) + len(experiment.val.corpus) == 120
    said = console.export_text()
    for part in ("not a SMILES (unclosed ring)", "an empty text", "longer than model.longest=48", "number in value"):
        assert part in said


def test_a_constant_condition_does_not_divide_by_zero():
    assert Condition.of("x", np.ones(3)).standardize(np.ones(3)).tolist() == [0, 0, 0]


def test_another_kind_of_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"best.pt does not exist"):
        Generator.load(tmp_path)


def test_brackets_in_a_path_are_printed(runs, tmp_path):
    folder = tmp_path / "a[bold]b"
    folder.mkdir()
    shown = io.StringIO()
    generate(runs / "language", 4, Choosing(), out=folder / "x[red]y.csv", console=Console(file=shown, width=300))
    assert f"molecules: {folder / 'x[red]y.csv'}" in shown.getvalue()
    (folder / "words[dim].smi").write_text("".join(f"{'C' * n}O\n" for n in range(1, 21)))
    values = config(GRU, 1) | {"data": {"path": str(folder / "words[dim].smi"), "val": 0.2, "test": 0.1}}
    train(values, folder / "run", Console(file=shown, width=300))
    assert "words[dim].smi: 1" in shown.getvalue()
    assert f"run folder: {folder / 'run'}" in shown.getvalue()


def test_all_short_sequences_are_ranked_as_a_wide_beam_ranks_them(runs):
    generator = Generator.load(runs / "language", "cpu")
    best = generator.write(3, Choosing(exhaustive=2))
    scores = [log_prob for _, log_prob in best]
    assert len({text for text, _ in best}) == 3
    assert scores == sorted(scores, reverse=True)
    with pytest.raises(ValueError, match=r"--exhaustive 40: .* can be searched"):
        generator.write(3, Choosing(exhaustive=40))

"""An experiment is made without reading anything, prepares once, and builds as many models as are asked for."""

import subprocess
import sys

import pytest
import torch
from rich.console import Console

from molgraph.molecules import experiment as module
from molgraph.molecules.experiment import PropertyExperiment
from molgraph.training.comparison.study import Study
from tests.choices import choice

QUIET = Console(quiet=True)
ROWS = [f"{'C' * n}O,{n / 3},{'abc'[n % 3]}" for n in range(1, 31)]


@pytest.fixture
def data(tmp_path):
    (tmp_path / "rows.csv").write_text("smiles,y,label\n" + "\n".join(ROWS) + "\n")
    return {"path": str(tmp_path / "rows.csv"), "targets": ["y"], "workers": 0}


@pytest.fixture
def reads(monkeypatch):
    """Count how often a table is read."""
    seen, read = [], module.read_table
    monkeypatch.setattr(module, "read_table", lambda source: seen.append(source) or read(source))
    return seen


def size(model):
    return sum(p.numel() for p in model.parameters())


def test_nothing_is_read_or_written_before_it_is_prepared(tmp_path):
    made = PropertyExperiment({"path": "nowhere.csv", "targets": ["y"]}, choice("model", "gcn"), 0, tmp_path, QUIET)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"nowhere\.csv does not exist"):
        made.prepare()


def test_a_model_of_another_task_is_refused_before_the_table_is_read(tmp_path):
    with pytest.raises(ValueError, match="predicts no property"):
        PropertyExperiment({"path": "nowhere.csv"}, {"encoder": {}}, 0, tmp_path, QUIET)


@pytest.mark.parametrize("name", ["gcn", "gru"])
def test_a_prepared_experiment_builds_other_models_without_reading_again(name, data, tmp_path, reads):
    made = PropertyExperiment(data, choice("model", name), 0, tmp_path, QUIET).prepare()
    assert size(made.build_model(choice("model", name))) == size(made.model)
    assert size(made.build_model(choice("model", "dmpnn"))) != size(made.model)
    assert len(reads) == 1


def test_the_numbers_of_classes_of_all_targets_are_the_outputs_of_a_model(data, tmp_path):
    columns = {"targets": ["label"], "kind": "multiclass"}
    made = PropertyExperiment(data | columns, choice("model", "gcn"), 0, tmp_path, QUIET).prepare()
    assert [layer for layer in made.model.head if isinstance(layer, torch.nn.Linear)][-1].out_features == 3


def test_a_comparison_reads_its_data_once_however_many_models_it_counts(data, tmp_path, reads):
    run = {"_target_": "molgraph.molecules.experiment.PropertyExperiment"}
    candidates = {"gcn": {"model": choice("model", "gcn")}, "gru": {"model": choice("model", "gru")}}
    study = Study(data, None, 0, tmp_path, QUIET, run, {"parameters": 1000}, candidates).prepare()
    assert reads == []
    sizes = [size(study.build_model(choice("model", name))) for name in ("gcn", "gru", "gcn", "gatv2")]
    assert sizes[0] == sizes[2] and len(set(sizes)) == 3
    assert len(reads) == 1


def test_predicting_imports_no_training():
    code = (
        "import sys, molgraph.molecules.predict; print(*(n for n in sys.modules if n.startswith('molgraph.training')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"molgraph.training.trainer", "molgraph.training.experiment", "molgraph.training.run"} & set(loaded)

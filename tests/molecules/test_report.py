import json
import math

import pytest
import torch
from rich.console import Console
from torch import nn

from molgraph.molecules.report import PropertyReport, draw, prediction_cells, prediction_columns
from molgraph.training.supervised import Classification, MultiClass, Regression, SupervisedBatch

NAN = math.nan


class Echo(nn.Module):
    def forward(self, inputs):
        return inputs


class One:
    """A single batch."""

    def __init__(self, inputs, targets):
        self.batch = SupervisedBatch(inputs, targets)

    def __len__(self):
        return 1

    def epoch(self, number):
        yield self.batch


TASKS = {
    "regression": lambda names: Regression(Echo(), names, torch.zeros(len(names)), torch.ones(len(names))),
    "classification": lambda names: Classification(Echo(), names, torch.ones(len(names))),
    "multiclass": lambda names: MultiClass(Echo(), names, [2] * len(names), torch.ones(2 * len(names))),
}


def report(kind, tmp_path, truth, names=("a", "b")):
    task, classes = TASKS[kind](list(names)), [["no", "yes"]] * len(names) if kind == "multiclass" else []
    outputs = 2 * len(names) if classes else len(names)
    part = One(torch.linspace(-1, 1, len(truth) * outputs).view(len(truth), outputs), torch.tensor(truth))
    console = Console(record=True, width=120)
    rows = (["smiles", "a"], [["C", str(row)] for row in range(len(truth))])
    results = PropertyReport(task, ["mol/L [x]", ""], console).write(
        tmp_path,
        {"val": part, "test": part},
        torch.zeros(outputs),
        rows,
        {"classes": classes, "molecules": {"train": 3}},
    )
    return results, console.export_text()


@pytest.mark.parametrize("kind", TASKS)
def test_results_predictions_and_a_plot_are_written(kind, tmp_path):
    results, printed = report(kind, tmp_path, [[0.0, 1.0], [1.0, 0.0], [1.0, NAN], [0.0, 1.0]])
    assert json.loads((tmp_path / "results.json").read_text()).keys() == results.keys()
    assert {"val", "test", "baseline", "parameters", "score"} <= results.keys()
    picture = tmp_path / ("parity.png" if kind == "regression" else "curves.png")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    assert lines[0].startswith("smiles,a,a_predicted")
    assert len(lines) == 5
    assert "mol/L [x]" in printed
    assert "4" in printed


@pytest.mark.parametrize("kind", TASKS)
def test_a_target_without_any_value_in_the_test_part_is_no_error(kind, tmp_path):
    results, _ = report(kind, tmp_path, [[0.0, NAN], [1.0, NAN], [1.0, NAN]])
    assert all(math.isnan(value) for value in results["test"]["b"].values())


def test_results_are_strict_json(tmp_path):
    report("regression", tmp_path, [[0.0, NAN], [1.0, NAN], [1.0, NAN]])

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads((tmp_path / "results.json").read_text(), parse_constant=refuse)


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path):
    _, printed = report("regression", tmp_path, [[0.0, 1.0], [1.0, 0.0]], ("[red]a[/]", "b_$x$"))
    assert "[red]a[/]" in printed


def test_columns_and_cells_of_predictions_fit():
    assert prediction_columns(["a", "b"], []) == ["a_predicted", "b_predicted"]
    assert prediction_cells([1.23456789, -2e-7], []) == ["1.23457", "-2e-07"]
    classes = [["no", "yes"], ["x", "y", "z"]]
    assert prediction_columns(["a", "b"], classes)[:4] == [
        "a_predicted",
        "a_probability_no",
        "a_probability_yes",
        "b_predicted",
    ]
    cells = prediction_cells([0.2, 0.8, 0.5, 0.3, 0.2], classes)
    assert cells == ["yes", "0.2000", "0.8000", "x", "0.5000", "0.3000", "0.2000"]


def test_a_name_with_a_dollar_sign_is_drawn(tmp_path):
    task = TASKS["regression"](["a$b_{"])
    draw(tmp_path / "plot.png", task, ["$/mol"], torch.ones(3, 1), torch.ones(3, 1))
    assert (tmp_path / "plot.png").is_file()

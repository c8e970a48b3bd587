"""What is said beside a prediction, from training to the columns of a table."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import molgraph
from molgraph.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trust")
    random = np.random.default_rng(0)
    rows = [("C" * n + end, n + random.normal(0, 0.3)) for n in range(1, 41) for end in ("", "O", "N", "Cl", "C(=O)O")]
    (folder / "t.csv").write_text("smiles,y\n" + "".join(f"{smiles},{y:.4f}\n" for smiles, y in rows))
    words = [str(folder / "t.csv"), "model=ridge", "data.fractions=[0.6,0.2,0.2]", "data.workers=0"]
    main(["train", *words, f"hydra.run.dir={folder / 'run'}"])
    return folder / "run"


def test_the_report_says_coverage_and_width(run):
    test = json.loads((run / "results.json").read_text())["test"]["y"]
    assert 0.6 <= test["coverage_90"] <= 1
    assert test["width_90"] > 0


def test_columns_are_added_as_they_are_asked_for(run, tmp_path):
    (tmp_path / "in.csv").write_text("smiles\nCCCCO\nnonsense\nO=S(=O)(c1ccc(F)cc1)N1CCOCC1\n")
    ask = ["predict", str(run), "-i", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv")]
    assert main([*ask, "--coverage", "0.9", "--domain", "--nearest", "2"]) == 3
    with (tmp_path / "out.csv").open(newline="") as file:
        inside, bad, outside = csv.DictReader(file)
    assert list(inside) == ["smiles", "y_predicted", "y_low", "y_high", "domain", "nearest", "error"]
    assert float(inside["y_low"]) < float(inside["y_predicted"]) < float(inside["y_high"])
    assert bad["y_low"] == bad["domain"] == bad["nearest"] == ""
    assert (inside["domain"], outside["domain"]) == ("inside", "outside")
    assert inside["nearest"].count(";") == 1
    assert "(1.00: " in inside["nearest"] or "(0." in inside["nearest"]
    width = [float(row["y_high"]) - float(row["y_low"]) for row in (inside, outside)]
    main([*ask, "--coverage", "0.5"])
    with (tmp_path / "out.csv").open(newline="") as file:
        half = next(csv.DictReader(file))
    assert float(half["y_high"]) - float(half["y_low"]) < width[0]


def test_trust_alone_asks_for_all_and_python_can_too(run, capsys):
    assert main(["predict", str(run), "CCCO", "--trust"]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("y_low", "y_high", "domain", "nearest"))
    verdict = molgraph.load(run).ask(coverage=0.8, nearest=1).predict("CCCO").verdict
    assert verdict.low[0] < verdict.high[0]
    assert len(verdict.nearest) == 1
    with pytest.raises(ValueError, match="is no share"):
        molgraph.load(run).ask(coverage=90)


def test_an_old_run_says_that_it_has_no_calibration():
    with pytest.raises(ValueError, match="train it again"):
        molgraph.load(Path(__file__).parents[2] / "runs" / "gatv2").ask(domain=True)


def test_classes_have_a_domain_and_neighbours_and_no_interval(tmp_path):
    rows = "".join(f"{'C' * n}{end},{label}\n" for n in range(1, 31) for end, label in (("O", "yes"), ("N", "no")))
    (tmp_path / "t.csv").write_text("smiles,toxic\n" + rows)
    main(["train", str(tmp_path / "t.csv"), "model=ridge", "data.workers=0", f"hydra.run.dir={tmp_path / 'run'}"])
    model = molgraph.load(tmp_path / "run").ask(domain=True, nearest=1)
    assert model.predict("CCCO").verdict.domain in ("inside", "edge")
    with pytest.raises(ValueError, match="no intervals"):
        model.ask(coverage=0.9)

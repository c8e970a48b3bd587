"""The verbs as functions, as one would guess them, and the estimators of scikit-learn."""

from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from rdkit import Chem
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import molgraph
from molgraph.api import configuration

SMILES = ["C" * n for n in range(1, 25)] + ["C" * n + "O" for n in range(1, 25)]
VALUES = [float(len(text)) for text in SMILES]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    table = folder / "assay.csv"
    lines = [f"{text};{str(value).replace('.', ',')}\n" for text, value in zip(SMILES, VALUES, strict=True)]
    table.write_text("Structure (SMILES);IC50 [nM]\n" + "".join(lines))
    overrides = ["model=gcn", "trainer.epochs=2", "data.workers=0"]
    return molgraph.train(table, folder / "run", target="IC50 [nM]", overrides=overrides)


def test_what_goes_in_comes_out_in_the_same_kind(trained, tmp_path):
    one = trained.predict("CCO")
    value = float(one)
    assert one.values == [value]
    assert [float(p) for p in trained.predict(["CCO", Chem.MolFromSmiles("OCC")])] == pytest.approx([value, value])
    assert float(trained.predict(Chem.MolFromSmiles("OCC"))) == pytest.approx(value)

    series = trained.predict(pandas.Series(["CCO", "nonsense"], index=["a", "b"]))
    assert series.index.tolist() == ["a", "b"]
    assert series["a"] == pytest.approx(value, rel=1e-5)
    assert np.isnan(series["b"])

    frame = pandas.DataFrame({"name": ["x"], "Structure (SMILES)": ["CCO"]}, index=[7])
    out = trained.predict(frame)
    assert out.columns.tolist() == ["name", "Structure (SMILES)", "IC50 [nM]_predicted", "error"]
    assert out.loc[7, "IC50 [nM]_predicted"] == pytest.approx(value, rel=1e-5)

    frame.to_csv(tmp_path / "t.csv", index=False)
    for path in (tmp_path / "t.csv", str(tmp_path / "t.csv")):
        assert [float(p) for p in trained.predict(path)] == pytest.approx([value])
    assert trained.predict("CCO", as_frame=True)["IC50 [nM]_predicted"][0] == pytest.approx(value, rel=1e-5)
    with pytest.raises(ValueError, match="is no molecule"):
        trained.predict(7)
    with pytest.raises(ValueError, match="no column of SMILES"):
        trained.predict(pandas.DataFrame({"x": [1]}))


def test_a_table_in_memory_trains_and_its_run_keeps_it(tmp_path):
    frame = pandas.DataFrame({"mol": [Chem.MolFromSmiles(text) for text in SMILES], "y": VALUES})
    model = molgraph.train(frame, tmp_path / "run", overrides=["model=ridge"], settings={"data.transform": "log10"})
    assert model.names == ["log10(y)"]
    assert (tmp_path / "run" / "table.csv").exists()
    prediction = model.predict("CCCCCC", as_frame=True)
    assert prediction["y_predicted"][0] == pytest.approx(10 ** prediction["log10(y)_predicted"][0], rel=1e-4)


def test_the_learned_fingerprint_is_what_the_head_reads(trained):
    learned = molgraph.embed(trained, ["CCO", "nonsense", "CCC"])
    assert np.isnan(learned[1]).all()
    head = trained.model.head
    with torch.no_grad():
        outputs = head(torch.from_numpy(learned[[0, 2]]))
    values = trained.task.in_units(outputs)[:, 0].tolist()
    assert values == pytest.approx([float(p) for p in trained.predict(["CCO", "CCC"])], rel=1e-5)


def test_runs_are_compared_and_explained(trained, tmp_path):
    run = Path(trained.run)
    rows = molgraph.compare([run])
    assert rows[0]["monitor"] == "rmse"
    molgraph.explain(trained, "CCO", tmp_path / "pictures")
    assert list((tmp_path / "pictures").iterdir())


def test_the_estimators_are_those_of_scikit_learn():
    regressor = molgraph.MolGraphRegressor(model="ridge", settings={"data.workers": 0})
    assert clone(regressor).get_params()["model"] == "ridge"
    scores = cross_val_score(make_pipeline(regressor), SMILES, VALUES, cv=2)
    assert scores.min() > 0.5

    labels = np.array(["alcohol" if text.endswith("O") else "plain" for text in SMILES])
    classifier = molgraph.MolGraphClassifier(model="random_forest").fit(np.array(SMILES).reshape(-1, 1), labels)
    assert classifier.classes_.tolist() == ["alcohol", "plain"]
    assert classifier.predict_proba(["CCCO"]).sum() == pytest.approx(1)
    assert classifier.score(SMILES, labels) > 0.9
    with pytest.raises(ValueError, match="has no prediction"):
        classifier.predict(["nonsense"])


def test_three_classes_and_several_targets():
    labels = [len(text) % 3 for text in SMILES]
    classifier = molgraph.MolGraphClassifier(model="gcn", overrides=["trainer.epochs=1"]).fit(SMILES, labels)
    assert classifier.predict_proba(["CC", "CCC"]).shape == (2, 3)
    assert set(classifier.predict(SMILES)) <= {0, 1, 2}
    values = np.stack([VALUES, VALUES], axis=1)
    assert molgraph.MolGraphRegressor(model="ridge").fit(SMILES, values).predict(["CC"]).shape == (1, 2)


def test_what_the_user_says_of_bad_rows_counts_and_the_run_is_called_by_its_model(tmp_path):
    frame = pandas.DataFrame({"smiles": [*SMILES, "nonsense"], "y": [*VALUES, 1.0]})
    with pytest.raises(ValueError, match="cannot be used"):
        molgraph.train(frame, tmp_path / "strict", overrides=["model=ridge", "data.on_error=raise"])
    molgraph.train(frame, tmp_path / "run", overrides=["model=ridge"])
    assert "label: ridge" in (tmp_path / "run" / "config.yaml").read_text()
    assert configuration()["label"] == "dmpnn_rdkit"


def test_a_list_without_a_molecule_has_no_fingerprints(trained):
    assert molgraph.embed(trained, ["nonsense", ""]).shape == (2, 0)
    assert molgraph.embed(trained, []).shape == (0, 0)

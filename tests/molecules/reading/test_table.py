import csv
import gzip
import math

import numpy as np
import pytest
from rich.console import Console

from molgraph.molecules.experiment import PropertyExperiment
from molgraph.molecules.graphs.dataset import PropertyBatches, check_molecules
from molgraph.molecules.reading.catalog import DATA_SETS, SHIPPED, find
from molgraph.molecules.reading.smiles import Standardization
from molgraph.molecules.reading.table import Source, read_table
from molgraph.molecules.settings import DataConfig

QUIET = Console(quiet=True)


def table(tmp_path, text, **options):
    path = tmp_path / "data.csv"
    path.write_text(text)
    return read_table(Source(path=str(path), **({"targets": ["y"]} | options)))


def check(read, on_error="raise"):
    return check_molecules(read, Standardization(), on_error, 0, QUIET)


def test_a_table_has_molecules_values_and_line_numbers(tmp_path):
    read = table(tmp_path, 'name,smiles,y\n"a, b",CCO,1.5\n\nc, CC ,-2e3\n')
    assert (read.smiles, read.values[:, 0].tolist(), read.lines) == (["CCO", "CC"], [1.5, -2000], [2, 4])
    assert (read.kind, read.header, read.rows[0]) == ("regression", ["name", "smiles", "y"], ["a, b", "CCO", "1.5"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smiles,y\nCCO,1\nC1CC,2\n", r"row 3 of .*data.csv: 'C1CC' cannot be used \(not a SMILES: unclosed ring\)"),
        ("smiles,y\nCCO,1\n,2\n", r"row 3 of .*: '' cannot be used \(not a SMILES: it is empty\)"),
        ("smiles,y\nCCO,1\nCC,soluble\n", r"row 3 of .*: 'CC' cannot be used \(y is 'soluble', which is not a number"),
        ("smiles,y\nCCO,1\nCC,\n", r"row 3 of .*: 'CC' cannot be used \(y is empty\)"),
        ("smiles,y\nCCO,1\nCC,inf\n", r"y is 'inf', which is not a finite number"),
        ("smiles,y\nCCO,1\nCC,3,4\n", r"the row has 3 cells, the header 2"),
        ("smiles,y,y\nCCO,1,2\n", r"has the column 'y' more than once; rename one of them"),
        ("SMILE,y\nCCO,1\n", r"has no column 'smiles'; its columns are SMILE, y"),
        ("smiles,x\nCCO,1\n", r"has no column 'y'; its columns are smiles, x"),
        ("", r"is empty; the first line has to name the columns"),
        ("smiles,y\n", r"has no usable row"),
    ],
)
def test_bad_input_is_named_with_its_reason(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        check(table(tmp_path, text))


def test_what_can_be_used_goes_on_if_bad_rows_are_skipped(tmp_path):
    read = table(tmp_path, "smiles,y\nCCO,1\nC1CC,2\nCC,x\n,4\nCN,5\nC,6,7\n")
    checked, canonical = check(read, "skip")
    assert (canonical, checked.values[:, 0].tolist()) == (["CCO", "CN"], [1, 5])
    assert [rejected.row for rejected in checked.rejected] == [3, 4, 5, 7]
    assert "unclosed ring" in checked.rejected[0].reason
    assert "not a number" in checked.rejected[1].reason


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none.csv does not exist; give the path of a file"):
        read_table(Source(path=str(tmp_path / "none.csv"), targets=["y"]))
    whole = gzip.compress(b"smiles,y\n" + b"CCO,1\n" * 500)
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.csv.gz is damaged"):
        read_table(Source(path=str(tmp_path / "cut.csv.gz"), targets=["y"]))


@pytest.mark.parametrize("delimiter", [";", "|", "\t", "tab", "\\t"])
def test_other_delimiters_are_read(tmp_path, delimiter):
    mark = "\t" if delimiter in ("tab", "\\t") else delimiter
    assert table(tmp_path, f"smiles{mark}y\nCCO{mark}1\n", delimiter=delimiter).smiles == ["CCO"]


def test_a_delimiter_is_one_character(tmp_path):
    with pytest.raises(ValueError, match="delimiter '::' is not one character"):
        table(tmp_path, "smiles,y\n", delimiter="::")


def test_a_byte_order_mark_and_a_zipped_file_are_read(tmp_path):
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbfsmiles,y\r\nCCO,1\r\n")
    assert read_table(Source(path=str(tmp_path / "bom.csv"), targets=["y"])).smiles == ["CCO"]
    with gzip.open(tmp_path / "z.csv.gz", "wt") as file:
        file.write("smiles,y\nCCO,1\n")
    assert read_table(Source(path=str(tmp_path / "z.csv.gz"), targets=["y"])).smiles == ["CCO"]


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "NA", "N/A", "None", "null"])
def test_a_missing_label_is_nan_and_not_an_error(tmp_path, cell):
    read = table(tmp_path, f"smiles,y,z\nCCO,{cell},2\nCC,1,\n", targets=["y", "z"])
    assert np.array_equal(np.isnan(read.values), [[True, False], [False, True]])
    assert read.rejected == []


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (["0", "1", "1", ""], "classification"),
        (["0.0", "1.0", "1", "na"], "classification"),
        (["0", "1", "2", "1"], "regression"),
        (["1.5", "0", "1", "1"], "regression"),
    ],
)
def test_the_kind_is_read_off_the_values(tmp_path, column, kind):
    assert table(tmp_path, "smiles,y\n" + "".join(f"CCO,{cell}\n" for cell in column)).kind == kind


def test_the_kind_can_be_said(tmp_path):
    assert table(tmp_path, "smiles,y\nC,0\nCC,1\n", kind="regression").kind == "regression"


def test_classes_are_numbered_in_alphabetical_order(tmp_path):
    text = "smiles,y,z\nC,red,a\nCC,blue,b\nCCC,,a\nCCCC,red,\n"
    read = table(tmp_path, text, kind="multiclass", targets=["y", "z"])
    assert read.classes == [["blue", "red"], ["a", "b"]]
    assert np.array_equal(read.values.T, [[1, 0, math.nan, 1], [0, 1, 0, math.nan]], equal_nan=True)


def test_a_class_that_is_not_0_or_1_is_named(tmp_path):
    read = table(tmp_path, "smiles,y\nC,0\nCC,2\n", kind="classification")
    assert "y is '2'; a class is 0 or 1 (for more classes use data.kind=multiclass)" in read.rejected[0].reason


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Source(path="x.csv", kind="ranking"), "data.kind='ranking' is unknown; use auto, regression"),
        (Source(), "data=csv needs data.path=FILE.csv"),
        (Source(name="esool"), "there is no data set 'esool'; there are aqsoldb, b3db"),
    ],
)
def test_an_incomplete_source_says_what_is_missing(source, message):
    with pytest.raises(ValueError, match=message):
        read_table(source)


def test_targets_have_to_be_named(tmp_path):
    with pytest.raises(ValueError, match=r"data.targets is empty; name the columns to predict"):
        table(tmp_path, "smiles,y\nC,1\n", targets=[])


@pytest.mark.parametrize("name", ["aqsoldb", "b3db", "logbb", "qm9_10k"])
def test_a_shipped_set_is_what_the_catalogue_says(name):
    known = DATA_SETS[name]
    read = read_table(Source(name))
    assert (SHIPPED / known.file).is_file()
    assert (len(read), read.kind, len(read.targets)) == (known.molecules, known.kind, len(known.targets))
    assert all(known.reference and known.licence for known in DATA_SETS.values())


@pytest.mark.parametrize("name", ["esol", "freesolv", "bbbp", "tox21"])
def test_a_fetched_set_is_found_in_molgraph_data(name, real_data, monkeypatch):
    monkeypatch.setenv("MOLGRAPH_DATA", str(real_data))
    read = read_table(Source(name))
    assert (len(read), read.kind) == (DATA_SETS[name].molecules, DATA_SETS[name].kind)


def test_a_download_with_another_checksum_is_refused(tmp_path, monkeypatch):
    from molgraph.molecules.reading import catalog

    (tmp_path / "served.csv").write_text("smiles,logp\nC,1\n")
    wrong = catalog.Download((tmp_path / "served.csv").as_uri(), "0" * 64)
    monkeypatch.setenv("MOLGRAPH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MOLGRAPH_DATA", raising=False)
    monkeypatch.setitem(DATA_SETS, "esol", catalog.DataSet(**(vars(DATA_SETS["esol"]) | {"download": wrong})))
    with pytest.raises(ValueError, match=r"data=esol could not be fetched from .*set MOLGRAPH_DATA to its folder"):
        find("esol")


def small(tmp_path, **options):
    lines = [f"{'C' * n}O,{n / 3},{n % 2 if n % 5 else ''}" for n in range(1, 31)]
    (tmp_path / "small.csv").write_text("smiles,y,z\n" + "\n".join([*lines, "C1CC,1,1", "CCN,,"]) + "\n")
    return {"path": str(tmp_path / "small.csv"), "targets": ["y", "z"], "workers": 0} | options


def experiment(tmp_path, **options):
    encoder = {"_target_": "molgraph.molecules.models.encoders.GCN", "hidden": 8}
    model = {"_target_": "molgraph.molecules.models.graph_predictor.GraphPredictor", "encoder": encoder}
    return PropertyExperiment(small(tmp_path, **options), model, seed=0, folder=tmp_path, console=QUIET).prepare()


def test_rejected_rows_are_written_beside_the_run(tmp_path):
    experiment(tmp_path, on_error="skip")
    with (tmp_path / "rejected.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["row"], row["smiles"]) for row in rows] == [("32", "C1CC"), ("33", "CCN")]
    assert "unclosed ring" in rows[0]["reason"]
    assert rows[1]["reason"] == "no target has a value"


def test_training_stops_at_the_first_bad_row_by_default(tmp_path):
    with pytest.raises(ValueError, match=r"row 32 of .*'C1CC' cannot be used .* use data.on_error=skip"):
        experiment(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "scaffolds"}, "data.split='scaffolds' is unknown; use random, scaffold, kfold, column or file"),
        ({"split": "column"}, "needs data.split_column=NAME"),
        ({"split": "column", "split_column": "part"}, "has no column 'part'; its columns are smiles, y, z"),
        ({"split": "file", "split_file": "none.csv"}, "data.split_file=none.csv does not exist"),
        ({"on_error": "ignore"}, "data.on_error='ignore' is unknown; use raise or skip"),
    ],
)
def test_an_unknown_value_says_what_there_is(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        experiment(tmp_path, **({"on_error": "skip"} | options))


def test_every_row_of_a_part_is_in_one_batch_of_each_epoch(tmp_path):
    made = experiment(tmp_path, on_error="skip", batch_size=5)
    sizes = np.asarray(made.train.encoded.sizes)
    first, again, other = (np.concatenate(made.train.order(number, sizes)) for number in (0, 0, 1))
    assert sorted(first.tolist()) == sorted(other.tolist()) == made.split.train.tolist()
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.concatenate(made.test.order(0, sizes)).tolist() == made.split.test.tolist()
    assert sum(1 for _ in made.train.epoch(0)) == len(made.train)


def neighbours_differ_by(padded_rows):
    class Sized:
        padded = padded_rows
        sizes = np.random.default_rng(0).integers(5, 100, 2000)

    batches = PropertyBatches(Sized(), np.zeros((2000, 1)), np.arange(2000), 50, seed=1, shuffle=True)
    made = batches.order(0, Sized.sizes)
    near = np.mean([np.abs(np.diff(Sized.sizes[rows])).mean() for rows in made])
    return near, np.mean([np.ptp(Sized.sizes[rows]) for rows in made])


def test_padded_rows_stand_beside_rows_of_similar_size_and_a_batch_has_all_sizes():
    near, range_of_sizes = neighbours_differ_by(padded_rows=True)
    assert near < 5 and range_of_sizes > 40
    near, range_of_sizes = neighbours_differ_by(padded_rows=False)
    assert near > 25 and range_of_sizes > 80


def test_unknown_keys_of_data_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"data has no key 'smile_column'; it has name, path, smiles_column"):
        experiment(tmp_path, smile_column="x")
    assert DataConfig().split == "random"


def test_a_column_that_differs_in_capitals_alone_is_taken(tmp_path):
    path = tmp_path / "upper.csv"
    path.write_text("SMILES,y\nCCO,1\nCC,2\n")
    assert read_table(Source(path=str(path), targets=("y",))).smiles == ["CCO", "CC"]

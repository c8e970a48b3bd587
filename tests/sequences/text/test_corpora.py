import gzip
import hashlib
import tracemalloc
import zipfile

import pytest

from molgraph.sequences.text.corpora import CORPORA, TextFile, find, open_texts
from molgraph.sequences.text.dataset import Corpus
from molgraph.sequences.text.fetch import Reactions, Wheel
from molgraph.sequences.text.rows import read_rows
from molgraph.sequences.text.tokenizer import Vocabulary


def a_file(tmp_path, rows=1000):
    path = tmp_path / "own.csv"
    path.write_text("Name,SMILES\n" + "".join(f"m{row},{'C' * (row % 40 + 1)}O\n" for row in range(rows)))
    return path


def test_parts_are_disjoint_complete_and_repeatable(tmp_path):
    texts = open_texts({"path": a_file(tmp_path), "columns": ["name"], "val": 0.1, "test": 0.2})
    parts = {part: [row[0] for row in texts.rows(part)] for part in ("train", "val", "test")}
    assert sorted(name for names in parts.values() for name in names) == sorted(f"m{row}" for row in range(1000))
    assert 60 < len(parts["val"]) < 140
    assert 150 < len(parts["test"]) < 250
    assert [row[0] for row in texts.rows("val")] == parts["val"]
    other = open_texts({"path": a_file(tmp_path), "columns": ["name"], "val": 0.1, "test": 0.2, "split_seed": 1})
    assert [row[0] for row in other.rows("val")] != parts["val"]


def test_a_limit_shortens_the_training_part_alone(tmp_path):
    texts = open_texts({"path": a_file(tmp_path), "limit": 10, "val": 0.1})
    assert len(list(texts.rows("train"))) == 10
    assert len(list(texts.rows("val"))) > 10


def test_columns_are_found_in_any_case_and_lines_need_no_header(tmp_path):
    assert next(read_rows(a_file(tmp_path), ("smiles", "name"))) == ("CO", "m0")
    (tmp_path / "lines.smi").write_text("CCO ethanol\n\nCC\n")
    assert list(read_rows(tmp_path / "lines.smi", ("smiles",))) == [("CCO",), ("CC",)]


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match="no column price; it has name, smiles"):
        list(read_rows(a_file(tmp_path), ("price",)))
    with pytest.raises(ValueError, match="one text a line and no columns reactants, product; that takes a CSV"):
        next(open_texts({"name": "moses_fragments"}, ("reactants", "product")).rows("train"))
    with pytest.raises(ValueError, match="no corpus 'chembl'; there are moses_fragments"):
        open_texts({"name": "chembl"})
    with pytest.raises(ValueError, match=r"data.path=nowhere.csv does not exist"):
        open_texts({"path": "nowhere.csv"})
    with pytest.raises(ValueError, match="unknown part 'tests'"):
        list(open_texts({"path": a_file(tmp_path)}).rows("tests"))


def test_the_shipped_corpora_open_without_a_download(monkeypatch):
    monkeypatch.delenv("MOLGRAPH_DATA", raising=False)
    fragments = [row[0] for row in open_texts({"name": "moses_fragments"}).rows("train")]
    assert len(fragments) > 4000
    smiles, name = next(open_texts({"name": "iupac"}, ("smiles", "name")).rows("train"))
    assert smiles
    assert name


def test_a_wheel_is_read_as_a_data_file(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "some.whl", "w") as archive:
        archive.writestr("some/data.smiles", "CCO\nCC\n")
    monkeypatch.setattr(Wheel, "_download", lambda *_: tmp_path / "some.whl")
    monkeypatch.setenv("MOLGRAPH_CACHE", str(tmp_path / "cache"))
    path = find(TextFile("unheard_of.csv.gz", Wheel("some==1", "0", "some/data.smiles")), "zinc250k")
    assert list(read_rows(path, ("smiles",))) == [("CCO",), ("CC",)]
    assert gzip.decompress(path.read_bytes()).startswith(b"smiles")


def test_reactions_are_put_together_and_checked(tmp_path, monkeypatch):
    (tmp_path / "train_sources").write_text("<RX_1> C C O C\n<RX_10> C = O\n")
    (tmp_path / "train_targets").write_text("C C O . C I\nC O\n")
    table = b"class,product,reactants\n1,CCOC,CCO.CI\n10,C=O,CO\n"
    home = Reactions("train", hashlib.sha256(table).hexdigest(), f"{tmp_path.as_uri()}/")
    assert gzip.decompress(home.read(tmp_path)) == table
    with pytest.raises(OSError, match="not the reactions that were expected"):
        Reactions("train", "0", f"{tmp_path.as_uri()}/").read(tmp_path)
    monkeypatch.setenv("MOLGRAPH_CACHE", str(tmp_path / "cache"))
    path = find(TextFile("some_train.csv.gz", home), "uspto50k")
    assert list(read_rows(path, ("product", "reactants"))) == [("CCOC", "CCO.CI"), ("C=O", "CO")]


def test_the_reactions_of_a_folder_are_those_that_would_be_fetched(real_data):
    for file in CORPORA["uspto50k"].files.values():
        table = gzip.decompress((real_data / file.name).read_bytes())
        assert hashlib.sha256(table).hexdigest() == file.home.sha256


def test_a_download_that_fails_says_what_to_do(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(Wheel, "_download", fail)
    monkeypatch.setattr("urllib.request.urlopen", fail)
    monkeypatch.setenv("MOLGRAPH_CACHE", str(tmp_path))
    monkeypatch.delenv("MOLGRAPH_DATA", raising=False)
    with pytest.raises(ValueError, match=r"could not be fetched \(no network\); run `pip .* MOLGRAPH_DATA"):
        open_texts({"name": "moses"})
    with pytest.raises(ValueError, match=r"put uspto50k_train.csv.gz, .* github.com/pandegroup.* MOLGRAPH_DATA"):
        open_texts({"name": "uspto50k"})


def test_every_corpus_says_where_it_is_from():
    assert all(len(corpus.origin) > 20 for corpus in CORPORA.values())


def test_a_large_corpus_goes_to_disk_and_not_into_memory(tmp_path):
    path = a_file(tmp_path, 20_000)
    # groups are told 50,000 rows at a time: a constant, which this file would be a part of
    texts = open_texts({"path": path, "val": 0.0, "test": 0.0, "group": "none"})
    tracemalloc.start()
    vocabulary = Vocabulary.build(text for text, *_ in texts.rows("train"))
    corpus = Corpus.build((text for text, *_ in texts.rows("train")), vocabulary, tmp_path / "corpus")
    corpus.batch(range(64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(corpus) == 20_000
    assert peak / len(corpus) < 100  # bytes a molecule: a million take less than 0.1 GB

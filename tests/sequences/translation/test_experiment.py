import csv
import json

import numpy as np
import pytest
import torch
from rich.console import Console

from molgraph.cli import main
from molgraph.molecules.reading.smiles import InvalidSmiles
from molgraph.sequences.text.dataset import Corpus
from molgraph.sequences.text.tokenizer import Vocabulary
from molgraph.sequences.translation.candidates import SourceTable, read_sources, translate
from molgraph.sequences.translation.directions import DIRECTIONS, Direction
from molgraph.sequences.translation.experiment import TranslationExperiment
from molgraph.sequences.translation.pairs import PairBatches
from molgraph.sequences.translation.sources import Rewritten, TextSource
from molgraph.sequences.translation.translator import Exhaustive, Sampled, Translator
from molgraph.training.run import train

GRU = {"cell": "gru", "width": 32, "layers": 1, "attention": "dot", "dropout": 0.0}
TRANSFORMER = {"width": 32, "layers": 1, "heads": 4, "feed_forward": 64, "dropout": 0.0}
QUIET = Console(quiet=True)


def config(data, shape, direction, steps=20):
    return {
        "data": data | {"val": 0.05, "test": 0.05, "limit": 1000},
        "model": {"shape": shape, "notation": "smiles", "longest": 128},
        "task": {"_target_": "molgraph.sequences.translation.experiment.TranslationExperiment", "batch_size": 32}
        | {"direction": direction, "report": {"beam": 3, "pairs": 10}},
        "trainer": {"epochs": 50, "max_steps": steps, "threads": 1, "precision": "float32", "device": "cpu"}
        | {"optimizer": {"learning_rate": 0.01}},
        "seed": 0,
    }


def reactions(tmp_path):
    """Esters from acids and alcohols, in one's own file, with atom maps."""
    path = tmp_path / "esters.csv"
    groups = ["C", "CCC", "CCl", "CBr", "CF", "CI", "CC#N", "CC=C", "Cc1ccccc1", "C1CC1", "CS", "CN"]
    rows = [(f"{acid}C(=O)O.[OH:1]{alcohol}", f"{acid}C(=O)[O:1]{alcohol}") for acid in groups for alcohol in groups]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("reactants", "product"), *rows])
    return path


@pytest.fixture(scope="module")
def esters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("esters")
    data = {"path": str(reactions(folder)), "columns": ["reactants", "product"]}
    values = config(data, GRU | {"width": 64}, "reactants_to_product", 300)
    values["data"] |= {"val": 0.1, "test": 0.1}
    values["trainer"]["optimizer"]["learning_rate"] = 0.005
    train(values, folder / "run", QUIET)
    return folder / "run"


def test_a_translator_learns_a_reaction(esters):
    results = json.loads((esters / "results.json").read_text())
    assert results["validation"]["token_accuracy"] > 0.9
    assert results["test"]["top1"] >= 0.5
    assert (esters / "attention.png").exists()


def test_maps_are_stripped_before_anything_is_learned(esters):
    translator = Translator.load(esters, "cpu")
    assert not any(":" in token for token in translator.source.vocabulary.tokens + translator.target.tokens)
    assert translator.read_source("[CH3:1][OH:2]") == ("CO", ["its atom maps were stripped"])


def test_a_source_that_is_larger_than_any_in_training_is_said(esters):
    translator = Translator.load(esters, "cpu")
    ((_, notes), (_, none)) = (translator.read_source(text) for text in ("C" * 40 + "C(=O)O.OC", "CC(=O)O.OC"))
    assert 15 < translator.largest < 30
    assert notes == [f"it is larger than any source of the training part (49 tokens or atoms, {translator.largest})"]
    assert none == []


def test_batches_do_not_change_a_translation(esters):
    translator, sources = Translator.load(esters, "cpu"), ["ClCC(=O)O.OCF", "CC(=O)O.OC", "CCCC(=O)O.OCBr"]
    together = translator.translate(sources, 4)
    for source, candidates in zip(sources, together, strict=True):
        (alone,) = translator.translate([source], 4)
        assert [text for text, _ in alone] == [text for text, _ in candidates]
    assert len(together[0]) == 4


def test_attention_is_a_weight_for_each_pair_of_tokens(esters):
    weights = Translator.load(esters, "cpu").attention("CC(=O)O.OCF", "CC(=O)OCF")
    assert weights.shape == (9, 11)
    assert (weights.sum(1) <= 1 + 1e-5).all()


def test_no_row_is_lost_and_every_problem_is_said(esters, tmp_path):
    console = Console(record=True, width=300, file=open("/dev/null", "w"))  # noqa: SIM115
    inputs, out = tmp_path / "in.csv", tmp_path / "out.csv"
    texts = ["CC(=O)O.OCF", "", "C" * 200, "CC(=O)O.[Xx]", "[CH3:1]C(=O)O.OC"]
    with inputs.open("w", newline="") as file:
        csv.writer(file).writerows([["reactants"], *[[text] for text in texts]])
    translator = Translator.load(esters, "cpu")
    assert translate(translator, read_sources(inputs, "Reactants"), 2, out, tmp_path / "map.png", console) == 5
    written = list(csv.DictReader(out.open()))
    assert [row["reactants"] for row in written if row["rank"] == "1"] == texts
    assert len(written) == 2 * 3 + 2
    assert [bool(row["text"]) for row in written if row["rank"] == "1"] == [True, False, False, True, True]
    assert written[-1]["note"] == "its atom maps were stripped"
    said = console.export_text()
    assert "the source is empty" in said
    assert "has 200 tokens; the model reads 126" in said
    assert "not in the training part ([Xx])" in said
    assert "atom maps were stripped" in said
    assert (tmp_path / "map.png").exists()


def test_texts_are_printed_with_their_rank(esters):
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    translate(Translator.load(esters, "cpu"), SourceTable.of(["CC(=O)O.OCF"]), 1, console=console)
    assert "CC(=O)OCF" in console.export_text()


@pytest.mark.parametrize(
    ("data", "shape", "direction"),
    [
        ({"name": "moses_fragments"}, GRU | {"attention": "none", "cell": "lstm"}, "random_to_canonical"),
        ({"name": "iupac"}, GRU | {"attention": "additive"}, "name_to_smiles"),
        ({"name": "iupac"}, TRANSFORMER, "smiles_to_name"),
        ({"name": "iupac"}, TRANSFORMER | {"attention": "linformer"}, "smiles_to_name"),
    ],
)
def test_every_direction_and_attention_trains_and_comes_back(data, shape, direction, tmp_path):
    train(config(data, shape, direction), tmp_path / "run", QUIET)
    assert json.loads((tmp_path / "run" / "results.json").read_text())["test"]["n"] == 10
    translator = Translator.load(tmp_path / "run", "cpu")
    assert translator.direction is DIRECTIONS[direction]
    assert translator.translate(["CCO"], 2)[0]
    assert (tmp_path / "run" / "attention.png").exists() == (
        shape["attention"] != "none" if "attention" in shape else True
    )


def test_random_sources_change_with_the_epoch_and_repeat_with_it(tmp_path):
    values = config({"name": "moses_fragments"}, GRU, "random_to_canonical")
    experiment = TranslationExperiment(
        values["data"], values["model"], 0, tmp_path, QUIET, "random_to_canonical"
    ).prepare()
    first, again, other = (next(experiment.train.epoch(n)) for n in (0, 0, 1))
    assert torch.equal(first.source.tokens, again.source.tokens)
    assert not torch.equal(first.target.tokens, first.source.tokens)
    assert first.source.tokens.shape != other.source.tokens.shape or not torch.equal(
        first.source.tokens, other.source.tokens
    )
    validation = [next(experiment.val.epoch(n)).source.tokens for n in (0, 5)]
    assert torch.equal(*validation)


def test_a_source_with_an_unknown_token_is_not_rewritten():
    vocabulary = Vocabulary.build(["CCO"])
    corpus = Corpus.build(["CC[Si]", "CCO"], vocabulary)
    sources = Rewritten(corpus, TextSource(vocabulary, GRU, 128, 0))
    batch = next(PairBatches(sources, corpus, 2, shuffle=False).epoch(0))
    assert [1, *vocabulary.encode("CC[Si]"), 2] in batch.source.tokens.tolist()


def test_directions_swap_source_and_target():
    row = ("A", "B")
    assert Direction.named("product_to_reactants").columns() == ("product", "reactants")
    assert Direction.named("reactants_to_product").columns(["left", "right"]) == ("left", "right")
    assert Direction.named("random_to_canonical").columns() == ("smiles",)
    assert Direction.named("reactants_to_product").pair(row) == row
    assert Direction.named("reactants_to_product").pair(("[CH3:1]O", "C")) == ("CO", "C")
    with pytest.raises(InvalidSmiles, match="not:smiles"):
        Direction.named("reactants_to_product").pair(("[CH3:1]O", "not:smiles"))
    with pytest.raises(ValueError, match="unknown direction 'forward'; choose one of reactants_to_product"):
        Direction.named("forward")


def test_another_kind_of_run_is_refused(esters):
    from molgraph.sequences.language.generator import Generator

    with pytest.raises(ValueError, match="not a run of task=language"):
        Generator.load(esters)


def test_attention_copies_what_one_summary_vector_cannot(tmp_path):
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("CNOFSPI"), 12)) for _ in range(3000)]
    path = tmp_path / "mirror.csv"
    path.write_text("reactants,product\n" + "".join(f"{text},{text[::-1]}\n" for text in texts))
    accuracy = {}
    for attention in ("none", "dot"):
        shape = {"cell": "gru", "width": 48, "layers": 1, "attention": attention, "dropout": 0.0}
        values = config({"path": str(path), "columns": ["reactants", "product"]}, shape, "reactants_to_product", 200)
        values["data"]["limit"] = None
        train(values, tmp_path / attention, QUIET)
        results = json.loads((tmp_path / attention / "results.json").read_text())
        accuracy[attention] = results["validation"]["token_accuracy"]
    assert accuracy["dot"] > 0.9
    assert accuracy["dot"] > 1.5 * accuracy["none"]


def test_samples_and_all_sequences_are_other_ways_to_candidates(esters):
    translator, source = Translator.load(esters, "cpu"), "CC(=O)O.OC"
    (drawn,) = translator.translate([source], Sampled(20, temperature=2.0))
    assert len({text for text, _ in drawn}) == len(drawn) > 1
    assert [p for _, p in drawn] == sorted((p for _, p in drawn), reverse=True)
    assert drawn == translator.translate([source], Sampled(20, temperature=2.0))[0]
    (one,) = translator.translate([source], Sampled(5, top_k=1))
    assert one[0] == pytest.approx(translator.translate([source], 1)[0][0])
    (best,) = translator.translate([source], Exhaustive(2, 3))
    assert len(best) == 3
    with pytest.raises(ValueError, match=r"--exhaustive 30: .* can be searched"):
        translator.translate([source], Exhaustive(30))
    with pytest.raises(SystemExit):
        main(["translate", str(esters), source, "--top-k", "3"])
    main(["translate", str(esters), source, "--sample", "4", "--top-k", "3", "--top-p", "0.9"])

import json

import pytest
import torch
from rich.console import Console

from molgraph.molecules.reading.smiles import InvalidSmiles, randomize
from molgraph.sequences.decoding.likelihood import LikelihoodTask
from molgraph.sequences.layers.architecture import make_shape
from molgraph.sequences.layers.graph_source import MoleculeEncoder, Molecules
from molgraph.sequences.text.batch import pad
from molgraph.sequences.text.tokenizer import BOS, EOS, Vocabulary
from molgraph.sequences.translation.candidates import candidates
from molgraph.sequences.translation.directions import DIRECTIONS
from molgraph.sequences.translation.experiment import TranslationExperiment, TranslationTask
from molgraph.sequences.translation.pairs import PairBatch
from molgraph.sequences.translation.sources import GraphSource
from molgraph.sequences.translation.translator import Translator, make_target
from molgraph.testing import SMILES
from molgraph.training.run import train

GRU = {"cell": "gru", "width": 32, "layers": 1, "attention": "dot", "dropout": 0.0}
SHAPES = [GRU, GRU | {"attention": "none", "cell": "lstm"}, {"width": 32, "layers": 1, "heads": 4, "dropout": 0.0}]
ENCODERS = ["GCN", "GAT", "GATv2", "GINE", "AttentiveFP", "DMPNN"]
VOCABULARY = Vocabulary.build(SMILES)
QUIET = Console(quiet=True)


def node(kind="DMPNN", normalization="layer"):
    options = {"hidden": 32, "layers": 3, "normalization": normalization}
    return {"_target_": f"molgraph.molecules.models.encoders.{kind}"} | options


def translator(shape=GRU, kind="DMPNN", normalization="layer"):
    """From graphs to SMILES, with random weights."""
    torch.manual_seed(0)
    source = GraphSource(node(kind, normalization))
    encoder = source.make_encoder()
    decoder = make_target(make_shape(shape), len(VOCABULARY), encoder, 64)
    decoder.out.weight.data.mul_(4)  # probabilities that differ clearly
    return Translator(encoder.eval(), decoder.eval(), source, VOCABULARY, DIRECTIONS["random_to_canonical"], 64)


def the_batch(smiles=SMILES):
    rows = [[BOS, *VOCABULARY.encode(text), EOS] for text in smiles]
    return PairBatch(Molecules.read(smiles).batch(range(len(smiles))), pad(rows))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ENCODERS)
def test_permuting_atoms_does_not_change_what_is_written(kind, shape):
    model, target = translator(shape, kind), the_batch().target.tokens

    def logits(smiles):
        return model.decoder(target, model.encoder(model.source.batch(smiles)))

    ours = logits(SMILES)
    for seed in range(3):
        writings = [randomize(text, 1, seed)[0] for text in SMILES]
        torch.testing.assert_close(logits(writings), ours, atol=1e-4, rtol=1e-4)
    assert (logits([*SMILES[1:], SMILES[0]]) - ours).abs().amax((1, 2)).min() > 1e-3  # another molecule: other logits


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("normalization", ["batch", "layer", "none"])
def test_the_padding_of_a_batch_never_changes_a_result(shape, normalization):
    model, target = translator(shape, "GINE", normalization), pad([[BOS, 5, 6, 7]])
    together = model.encoder(model.source.batch(SMILES))
    assert together.mask.sum(1).tolist() == [3, 13, 6, 5, 5, 9, 1, 11]
    for row, text in enumerate(SMILES):
        alone = model.encoder(model.source.batch([text]))
        size = alone.states.shape[1]
        torch.testing.assert_close(together.states[row, :size], alone.states[0], atol=1e-5, rtol=1e-5)
        assert not together.states[row, size:].any()
        theirs = model.decoder(target.tokens, together.select(torch.tensor([row])))
        torch.testing.assert_close(model.decoder(target.tokens, alone), theirs, atol=1e-4, rtol=1e-4)


def test_each_atom_is_a_position_and_fragments_are_one_source():
    source = GraphSource(node())
    assert source.labels("[Na+].CC(=O)[O-]") == (["[Na+]", "C", "C", "O", "[O-]"], slice(None))
    model = translator()
    weights = model.attention("[Na+].CC(=O)[O-]", "CCO")
    assert weights.shape == (3, 5)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))


@pytest.mark.parametrize("readout", ["sum", "mean", "attention", "recurrent_attention"])
def test_a_gradient_reaches_every_parameter(readout):
    encoder = MoleculeEncoder(node(), readout)
    task = TranslationTask(encoder, make_target(make_shape(GRU), len(VOCABULARY), encoder, 64))
    task.loss(the_batch()).backward()
    without = [name for name, p in task.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A softmax does not see what is added to all scores: these biases have no part in any result.
    assert [name for name in without if "score" not in name] == []


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_trains_in_bfloat16(shape):
    model = translator(shape)
    task = TranslationTask(model.encoder, model.decoder).train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = task.loss(the_batch())
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in task.parameters())


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[2]], ids=str)
def test_it_overfits_eight_molecules(shape):
    model = translator(shape)
    task, batch = TranslationTask(model.encoder, model.decoder).train(), the_batch()
    optimizer = torch.optim.Adam(task.parameters(), 5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = task.loss(batch)
        loss.backward()
        optimizer.step()
    task.eval()
    assert loss.item() < 0.05
    assert [row[0][0] for row in model.translate([randomize(text, 1, 3)[0] for text in SMILES], 1)] == list(SMILES)


def config(direction="random_to_canonical", shape=GRU, steps=20, **data):
    return {
        "data": {"name": "iupac" if "name" in direction else "moses_fragments", "val": 0.05, "test": 0.05} | data,
        "model": {"encoder": node(), "readout": "mean", "shape": shape, "notation": "smiles", "longest": 64},
        "task": {"_target_": "molgraph.sequences.translation.experiment.TranslationExperiment", "batch_size": 32}
        | {"direction": direction, "report": {"beam": 3, "pairs": 10}},
        "trainer": {"epochs": 50, "max_steps": steps, "threads": 1, "precision": "float32", "device": "cpu"}
        | {"optimizer": {"learning_rate": 0.005}},
        "seed": 0,
    }


@pytest.mark.parametrize(
    ("direction", "shape"), [("random_to_canonical", SHAPES[2]), ("smiles_to_name", GRU)], ids=lambda value: str(value)
)
def test_a_run_trains_and_comes_back_the_same(direction, shape, tmp_path):
    train(config(direction, shape, limit=500), tmp_path / "run", QUIET)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["test"]["n"] == 10
    first, second = (Translator.load(tmp_path / "run", "cpu") for _ in range(2))
    assert first.translate(SMILES[:2], 3) == second.translate(SMILES[:2], 3)
    assert (tmp_path / "run" / "attention.png").exists()


def test_loading_gives_the_trained_weights(tmp_path):
    values = config(limit=300, steps=5)
    train(values, tmp_path / "run", QUIET)
    saved = torch.load(tmp_path / "run" / "best.pt", weights_only=True)["task"]
    loaded = Translator.load(tmp_path / "run", "cpu")
    ours = TranslationTask(loaded.encoder, loaded.decoder).state_dict()
    assert ours.keys() == saved.keys()
    assert all(torch.equal(ours[name], saved[name]) for name in saved)


def test_no_row_is_lost_and_a_bad_one_is_named():
    found = candidates(translator(), ["CCO", "C1CC", "", "[CH3:1]O", "C" * 300], 2)
    assert [bool(row[0].text) for row in found] == [True, False, False, True, True]
    assert found[1][0].error == "'C1CC' is not a SMILES (unclosed ring)"
    assert "it is empty" in found[2][0].error
    assert found[3][0].note == "its atom maps were stripped"
    with pytest.raises(ValueError, match=r"row 1: 'C1CC' is not a SMILES"):
        translator().translate(["CCO", "C1CC"])


def test_rows_that_are_no_molecule_are_left_out_and_said(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("smiles\n" + "CCO\nCCN\nCC(C)O\n" * 40 + "C1CC\n\nCC(=O)X\n")
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    values = config()["model"]
    data = {"path": str(path), "val": 0.1, "test": 0.0, "group": "none"}
    experiment = TranslationExperiment(data, values, 0, tmp_path, console, "random_to_canonical").prepare()
    assert len(experiment.train.targets) + len(experiment.val.targets) == 120
    said = console.export_text()
    assert "not a SMILES (unclosed ring); the first is 'C1CC'" in said
    assert "'CC(=O)X'" in said


def test_a_direction_without_molecules_and_a_model_that_cannot_write_are_refused(tmp_path):
    with pytest.raises(ValueError, match="name_to_smiles reads no molecule; use a model without a graph encoder"):
        TranslationExperiment({"name": "iupac"}, config()["model"], 0, tmp_path, QUIET, "name_to_smiles").prepare()
    predictor = {"_target_": "molgraph.molecules.models.graph_predictor.GraphPredictor", "encoder": node()}
    with pytest.raises(ValueError, match="has no shape and cannot write; use model="):
        TranslationExperiment({"name": "iupac"}, predictor, 0, tmp_path, QUIET, "smiles_to_name").prepare()
    with pytest.raises(InvalidSmiles):
        GraphSource(node()).check("C1CC")


def test_both_tasks_that_write_share_one_loss():
    from molgraph.sequences.language.experiment import LanguageTask

    assert LanguageTask.loss is TranslationTask.loss is LikelihoodTask.loss

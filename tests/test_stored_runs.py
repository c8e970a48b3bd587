"""Runs that versions 0.1 and 0.2 left, one of each kind: they load for ever, and say what they said then."""

import json
from pathlib import Path

import numpy as np
import pytest

import molgraph
from molgraph.particles.experiment import load_simulator
from molgraph.particles.rollout.rollout import rollout, state_from_positions
from molgraph.sequences.language.generator import Choosing, Generator
from molgraph.sequences.translation.translator import Translator
from molgraph.training.checkpoint import load_checkpoint

RUNS = Path(__file__).parent / "runs"
SMILES = ["CCO", "c1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "C[C@H](N)C(=O)O", "[Na+].[Cl-]", "FC(F)(F)c1cc(Cl)ccn1"]
SOURCES = ["CCO", "c1ccccc1C"]


def expected(kind):
    """Return what the run said when version 0.1 had trained it."""
    return json.loads((RUNS / kind / "expected.json").read_text())


def positions_after_three_steps(run):
    """Return where a small block of particles is after three learned steps ``[N, D]``."""
    simulator, metadata = load_simulator(run)
    dimensions = simulator.scale.dim
    grid = np.stack(np.meshgrid(*[[0.4, 0.45]] * dimensions, indexing="ij"), -1).reshape(-1, dimensions)
    low, high = np.array(metadata.box.lower), np.array(metadata.box.upper)
    frames = low + (high - low) * np.stack([grid, grid + 1e-3])
    species = np.full(len(grid), simulator.scale.species[0])
    state = state_from_positions(frames, species, np.zeros(dimensions), metadata, simulator.scale)
    return list(rollout(simulator, state, 3))[-1].detach().numpy()


@pytest.mark.parametrize("kind", ["gatv2", "dmpnn_rdkit", "ridge", "random_forest", "gru", "transformer"])
def test_a_property_run_of_the_first_version_predicts_what_it_predicted(kind):
    predictions = molgraph.load(RUNS / kind, device="cpu").predict(SMILES)
    np.testing.assert_allclose([prediction.values for prediction in predictions], expected(kind), rtol=1e-4, atol=1e-5)


def test_a_language_model_of_the_first_version_writes_what_it_wrote():
    written = Generator.load(RUNS / "language", device="cpu").write(5, Choosing(seed=1))
    texts, scores = zip(*expected("language"), strict=True)
    assert [text for text, _ in written] == list(texts)
    np.testing.assert_allclose([score for _, score in written], scores, rtol=1e-4)


@pytest.mark.parametrize("kind", ["translation", "graph_to_smiles"])
def test_a_translator_of_the_first_version_finds_the_same_candidates(kind):
    found = Translator.load(RUNS / kind, device="cpu").translate(SOURCES, beam=3)
    for candidates, before in zip(found, expected(kind), strict=True):
        assert [text for text, _ in candidates] == [text for text, _ in before]
        np.testing.assert_allclose([score for _, score in candidates], [score for _, score in before], rtol=1e-4)


@pytest.mark.parametrize("kind", ["simulation", "simulation_grid"])
def test_a_simulator_of_the_first_version_rolls_out_as_it_did(kind):
    np.testing.assert_allclose(positions_after_three_steps(RUNS / kind), expected(kind), rtol=1e-5)


def test_a_per_atom_run_of_the_first_version_is_whole():
    content = load_checkpoint(RUNS / "atoms" / "best.pt")
    assert "task" in content and "config" in content


@pytest.mark.parametrize("kind", ["gatv2", "dmpnn_rdkit", "gru", "ridge"])
def test_atom_maps_do_not_change_a_prediction(kind):
    mapped = ["[CH3:5][C@H:3]([NH2:9])[C:1](=[O:2])[OH:7]", "[CH3:1][C@H:2]([CH3:3])[NH2:4]"]
    model = molgraph.load(RUNS / kind, device="cpu")
    plain = model.predict(["C[C@H](N)C(=O)O", "CC(C)N"])
    for one, other in zip(model.predict(mapped), plain, strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=1e-5)


def test_a_prediction_that_is_no_number_is_the_reason_of_its_row():
    import torch

    model = molgraph.load(RUNS / "gatv2", device="cpu")
    with torch.no_grad():
        for parameter in model.task.parameters():
            parameter.mul_(1e30)
    prediction = model.predict("CCO")
    assert prediction.values is None and prediction.error == "the model's prediction is no number"


def test_a_calibrated_run_of_version_0_2_says_what_it_said():
    predictions = molgraph.load(RUNS / "trusted", device="cpu").ask(0.9, True, 2).predict(["CCO", "c1ccccc1", "CCCCCN"])
    for prediction, known in zip(predictions, expected("trusted"), strict=True):
        verdict = prediction.verdict
        assert prediction.values == pytest.approx(known["values"], rel=1e-5)
        assert (*verdict.low, *verdict.high) == pytest.approx((*known["low"], *known["high"]), rel=1e-5)
        assert verdict.domain == known["domain"]
        assert [near[1] for near in verdict.nearest] == pytest.approx([near[1] for near in known["nearest"]])

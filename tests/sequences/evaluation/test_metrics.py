import sys
import types

import numpy as np
import pytest

from molgraph.sequences.evaluation.metrics import (
    Generated,
    asked_and_got,
    comparable,
    cosine,
    frechet_chemnet_distance,
    generation_metrics,
    invalid_reasons,
    is_known,
    keys_of,
    property_distances,
    tanimoto,
    translation_metrics,
)

WRITTEN = ["CCO", "OCC", "c1ccccc1", "C1CC", "C(C", "CC(C)(C)(C)C", "c1ccccc1-c1ccccc1"]


def test_generation_metrics_count_what_their_names_say():
    generated = Generated.read(WRITTEN)
    assert generated.canonical[:5] == ["CCO", "CCO", "c1ccccc1", "", ""]
    metrics = generation_metrics(generated, keys_of(["CCO"]), ["c1ccc(-c2ccccc2)cc1", "CCO"])
    assert metrics["valid"] == 4 / 7
    assert metrics["unique@4"] == 3 / 4
    assert metrics["novelty"] == pytest.approx(2 / 3)
    assert metrics["scaffold_similarity"] == pytest.approx(1)
    assert 0 < metrics["internal_diversity"] < 1
    assert metrics["nearest_similarity"] > 0.5
    assert metrics["passes_filters"] == 1
    assert 1 < metrics["sa_score"] < 3


def test_uniqueness_names_the_number_of_molecules_that_it_is_of():
    for count, names in ((900, ["unique@900"]), (1115, ["unique@1000", "unique@1115"])):
        metrics = generation_metrics(Generated.read(["CCO"] * (count - 1) + ["CC"]))
        assert [name for name in metrics if name.startswith("unique")] == names
        assert metrics[names[-1]] == 2 / count


def test_nothing_valid_gives_numbers_and_no_crash():
    metrics = generation_metrics(Generated.read(["C1CC", ""]), keys_of(["C"]), ["CCO"])
    assert metrics == {"n": 2.0, "n_valid": 0.0, "valid": 0.0}


def test_reasons_are_counted_by_kind():
    assert invalid_reasons(Generated.read(WRITTEN)) == {"unclosed ring": 1, "parentheses": 1, "valence": 1}


def test_known_molecules_are_found_by_their_keys():
    keys = keys_of(["CCO", "C", "CCO"])
    assert len(keys) == 2
    assert is_known(["C", "CC", "CCO"], keys).tolist() == [True, False, True]


def test_tanimoto_and_cosine_are_those_of_the_textbook():
    first, second = np.array([[1, 1, 0, 0]], np.uint8), np.array([[1, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 1]], np.uint8)
    assert tanimoto(first, second).round(4).tolist() == [[0.25, 1.0, 0.0]]
    from collections import Counter

    assert cosine(Counter(a=3, b=4), Counter(a=3, b=4)) == pytest.approx(1)
    assert cosine(Counter(a=1), Counter(b=1)) == cosine(Counter(), Counter(b=1)) == 0


def test_the_distance_of_a_distribution_to_itself_is_zero_and_a_shift_is_its_length():
    chains = ["C" * n for n in range(2, 30)]
    longer = ["C" * (n + 2) for n in range(2, 30)]
    assert property_distances(chains, chains, ["weight"]) == {"weight_wasserstein": 0}
    assert property_distances(chains, longer, ["weight"])["weight_wasserstein"] == pytest.approx(28.054, abs=0.01)


def test_asked_and_got_is_r2_and_mae():
    asked = np.array([1.0, 2.0, 3.0])
    means = {"asked_mean": asked.mean(), "got_mean": asked.mean()}
    assert asked_and_got(asked, asked) == {"r2": 1.0, "mae": 0.0, "n": 3.0} | means
    assert asked_and_got(asked, np.full(3, 2.0))["r2"] == 0
    assert "r2" not in asked_and_got(np.full(77, 0.6), np.linspace(0, 1, 77))  # one value cannot be correlated
    assert asked_and_got(asked[:0], asked[:0]) == {"n": 0.0}


def test_translations_are_compared_as_molecules():
    predictions = [["OCC.[CH4:1]", "CCO.C", "N"], ["C1CC", "CN"], ["CCC"]]
    metrics = translation_metrics(predictions, ["C.CCO", "NC", "CC"])
    assert metrics["top1"] == pytest.approx(1 / 3)
    assert metrics["top3"] == pytest.approx(2 / 3)
    assert metrics["invalid@1"] == pytest.approx(1 / 3)
    assert metrics["invalid"] == pytest.approx(1 / 6)
    assert metrics["duplicates"] == pytest.approx(1 / 6)
    assert "top5" not in metrics


def test_names_are_compared_as_text():
    assert comparable(" ethanol ", is_smiles=False) == "ethanol"
    assert translation_metrics([["ethanol"]], ["ethanol"], is_smiles=False)["top1"] == 1


def test_a_row_without_candidates_is_a_miss():
    assert translation_metrics([[]], ["C"]) == {"top1": 0, "invalid@1": 1, "invalid": 0, "duplicates": 0, "n": 1}


def test_fcd_comes_with_its_number_of_molecules_and_its_floor(monkeypatch):
    distance = types.SimpleNamespace(get_fcd=lambda ours, theirs: float(len(ours) + ("C" in ours)))
    monkeypatch.setitem(sys.modules, "fcd", distance)
    result = frechet_chemnet_distance(["C", "N", "O"], ["F", "F", "F", "F"])
    assert result == {"fcd_n": 2, "fcd": 3, "fcd_floor": 2}
    with pytest.raises(ValueError, match="at least 2 on each side"):
        frechet_chemnet_distance(["C"], ["F"] * 4)
    monkeypatch.setitem(sys.modules, "fcd", None)
    with pytest.raises(ValueError, match="pip install"):
        frechet_chemnet_distance(["C"], ["F"] * 4)

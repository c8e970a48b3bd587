import math

import numpy as np
import pytest

from molgraph.training.comparison.search import Range, sampler

SPACE = {
    "trainer.optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "model.layers": {"choices": [2, 3, 4]},
    "model.dropout": {"low": 0.0, "high": 0.5},
}


START = {"trainer.optimizer.learning_rate": 1e-3, "model.layers": 3, "model.dropout": 0.1}


def asked(kind, count, seed=0, score=lambda settings: 0.0):
    made = sampler(kind, SPACE, START, seed, "min")
    proposals = []
    for _ in range(count):
        settings = made.ask()
        made.tell(settings, score(settings))
        proposals.append(settings)
    return proposals


@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_the_first_trial_is_the_model_as_configured_and_a_seed_repeats_the_others(kind):
    if kind == "tpe":
        pytest.importorskip("optuna")
    first = asked(kind, 6)
    assert first[0] == START
    assert first == asked(kind, 6)
    assert first[1:] != asked(kind, 6, seed=1)[1:]
    for settings in first[1:]:
        assert settings.keys() == SPACE.keys()
        assert 1e-4 <= settings["trainer.optimizer.learning_rate"] <= 1e-2
        assert settings["model.layers"] in (2, 3, 4)
        assert 0 <= settings["model.dropout"] <= 0.5


def test_a_logarithmic_range_draws_factors_evenly():
    drawn = [Range(1e-4, 1e-2, log=True).draw(np.random.default_rng(seed)) for seed in range(400)]
    assert np.mean(np.array(drawn) < 1e-3) == pytest.approx(0.5, abs=0.08)


def test_the_parzen_estimator_learns_from_scores():
    pytest.importorskip("optuna")

    def miss(settings):
        return abs(math.log10(settings["trainer.optimizer.learning_rate"]) + 2.5)

    def late(kind):
        return np.mean([miss(settings) for seed in range(5) for settings in asked(kind, 30, seed, miss)[15:]])

    assert late("tpe") < 0.8 * late("random")


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"low": 1.0}, "needs low <= high"),
        ({"low": 2.0, "high": 1.0}, "needs low <= high"),
        ({"low": 0.0, "high": 1.0, "log": True}, "needs low > 0"),
        ({"lowest": 1.0}, r"write \{low, high\}"),
        (3, r"write \{low, high\}"),
    ],
)
def test_a_space_that_cannot_be_read_is_named(node, message):
    with pytest.raises(ValueError, match=f"search over model.width .*{message}"):
        sampler("random", {"model.width": node}, {}, 0, "min")


def test_an_unknown_sampler_is_named():
    with pytest.raises(ValueError, match=r"task\.budget\.sampler='grid' is unknown; use random or tpe"):
        sampler("grid", SPACE, START, 0, "min")


def test_nothing_is_tried_twice_while_there_is_something_new():
    space, start = {"model.layers": {"choices": [1, 2, 3, 4]}}, {"model.layers": 2}
    made = sampler("random", space, start, 0, "min")
    tried = [made.ask()["model.layers"] for _ in range(4)]
    assert tried[0] == 2 and sorted(tried) == [1, 2, 3, 4]
    assert made.ask()["model.layers"] in (1, 2, 3, 4)

import pytest
import yaml

from molgraph.training.config import TrainerConfig, check_keys, instantiate, locate, read_config
from molgraph.training.run import resume, seed_everything, train

GCN = {"_target_": "molgraph.molecules.models.encoders.GCN", "node_width": 3, "edge_width": 2}


def test_a_target_is_called_with_the_other_keys():
    assert instantiate(GCN | {"hidden": 8}, layers=2).num_layers == 2


@pytest.mark.parametrize("target", ["os.system", "molgraphs.evil.run", "subprocess.run", "evil"])
def test_a_target_outside_molgraph_is_never_called(target):
    with pytest.raises(ValueError, match=r"lies outside molgraph; configurations may only name molgraph's own"):
        instantiate({"_target_": target})


@pytest.mark.parametrize("target", ["molgraph.molecules.models.encoders.GNC", "molgraph.nothing.here"])
def test_a_target_that_does_not_exist_is_named(target):
    with pytest.raises(ValueError, match="does not exist"):
        locate(target)


def test_a_key_that_nobody_takes_is_named_with_those_that_are_taken():
    with pytest.raises(ValueError, match=r"does not take hiden; it takes node_width, edge_width, .*hidden"):
        instantiate(GCN | {"hiden": 8})
    with pytest.raises(ValueError, match=r"data has no key 'b'; it has name"):
        check_keys("data", lambda name: name, {"b": 1})


@pytest.mark.parametrize(
    ("key", "value"), [("hidden", "two"), ("hidden", 2.5), ("hidden", True), ("layers", None), ("residual", "perhaps")]
)
def test_a_value_of_the_wrong_kind_is_refused(key, value):
    with pytest.raises(ValueError, match=rf"GCN: {key} has to be of type (int|bool), not {value!r}"):
        instantiate(GCN | {key: value})


def test_a_typo_in_the_trainer_is_an_error():
    with pytest.raises(TypeError, match="epoch"):
        TrainerConfig.from_dict({"epoch": 3})


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a run folder"):
        read_config(tmp_path)


@pytest.mark.parametrize("key", ["trainer.epoch", "trainer.epochs.more", "modle", "seed.x"])
def test_a_change_that_does_not_fit_is_refused_before_anything_runs(tmp_path, key):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"trainer": {"epochs": 3}, "seed": 0}))
    with pytest.raises(ValueError, match=f"has no key {key}"):
        resume(tmp_path, {key: 1})


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ({"precision": "fp8"}, "trainer.precision='fp8' is unknown; use auto, float32, bf16"),
        ({"step": "fast"}, "trainer.step='fast' is unknown; use eager, compiled, captured"),
        ({"optimizer": {"name": "sgd"}}, "trainer.optimizer.name='sgd' is unknown; use adamw, muon"),
    ],
)
def test_a_choice_of_the_trainer_that_is_not_there_is_refused_before_anything_is_made(tmp_path, trainer, message):
    with pytest.raises(ValueError, match=message):
        train({"trainer": trainer, "task": {"_target_": "molgraph.never.reached"}}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_seed_fixes_the_random_numbers():
    import random

    import torch

    drawn = []
    for _ in range(2):
        seed_everything(5)
        drawn.append((random.random(), torch.rand(3).tolist()))
    assert drawn[0] == drawn[1]

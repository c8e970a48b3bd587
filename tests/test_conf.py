"""Every file of conf/ composes, and says only what its class understands."""

from dataclasses import fields

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from molgraph.molecules.experiment import DataConfig
from molgraph.molecules.reading.catalog import DATA_SETS
from molgraph.molecules.reading.smiles import Standardization
from molgraph.training.comparison.search import Range
from molgraph.training.comparison.study import Candidate
from molgraph.training.config import CONF, TrainerConfig, locate, parameters, with_values

GROUPS = {group.name: sorted(path.stem for path in group.glob("*.yaml")) for group in CONF.iterdir() if group.is_dir()}
FILES = [(group, name) for group, names in sorted(GROUPS.items()) for name in names]


@pytest.fixture(scope="module", autouse=True)
def hydra():
    ConfigStore.instance().store(group="trainer", name="schema", node=TrainerConfig)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def composed(*overrides):
    config = compose("train", overrides=list(overrides))
    return OmegaConf.to_container(config, resolve=True)


def check_target(node, where):
    """Each key beside a ``_target_`` is a parameter of what it names."""
    if not isinstance(node, dict):
        return
    target = locate(node["_target_"]) if "_target_" in node else None
    if hasattr(target, "build"):  # a predictor of properties: it checks its keys itself
        options = {key: value for key, value in node.items() if key != "_target_"}
        target.build(["CCO", "c1ccccc1"], 1, standardization=Standardization(), **options)
        with pytest.raises(ValueError, match="wrong_key"):
            target.build(["CCO"], 1, standardization=Standardization(), **options, wrong_key=1)
    elif target is not None:
        known, takes_any = parameters(target)
        unknown = {key for key in node if key != "_target_"} - set(known)
        assert takes_any or not unknown, f"{where}: {node['_target_']} does not take {unknown}"
    for key, value in node.items():
        check_target(value, f"{where}.{key}")


@pytest.mark.parametrize(("group", "name"), FILES)
def test_every_choice_composes_and_its_class_takes_its_keys(group, name):
    config = composed(f"{group}={name}")
    for part in ("data", "model", "task"):
        check_target(config.get(part), part)
    TrainerConfig.from_dict(config["trainer"])


def test_the_comparison_tunes_and_sizes_keys_that_its_models_have():
    config = composed("experiment=graph_vs_sequence")
    for node in config["task"]["candidates"].values():
        candidate = Candidate(**node)
        whole = {"model": candidate.model, "trainer": config["trainer"]}
        for changes in (candidate.search, candidate.width, *candidate.again.values()):
            with_values(whole, changes)
        for key, allowed in candidate.search.items():
            Range.read(key, allowed)


def test_the_groups_are_what_a_user_chooses():
    assert set(GROUPS) == {"data", "model", "task", "trainer", "logger", "experiment"}


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_named_set_of_the_catalogue_can_be_chosen(name):
    config = composed(f"data={name}")
    assert config["data"]["name"] == name
    DataConfig(**config["data"])


def test_the_keys_of_a_table_are_those_of_its_class():
    written = yaml.safe_load((CONF / "data" / "molecules.yaml").read_text())
    plain = DataConfig()
    assert written == {field.name: getattr(plain, field.name) for field in fields(DataConfig)}


def test_the_default_is_a_graph_network_on_measured_solubilities():
    config = composed()
    assert (config["data"]["name"], config["task"]["_target_"].rpartition(".")[2]) == ("aqsoldb", "PropertyExperiment")
    assert config["trainer"].keys() == {field.name for field in fields(TrainerConfig)}


@pytest.mark.parametrize("override", ["trainer.epoch=3", "trainer.epochs=many", "model.hiden=3", "data.targts=[y]"])
def test_a_typo_does_not_compose(override):
    with pytest.raises(Exception, match=r"(?s)Could not override|not in|many"):
        composed(override)

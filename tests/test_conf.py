"""Every file of conf/ composes, and says only what its class understands."""

from dataclasses import asdict, fields

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from molgraph.molecules.reading.catalog import DATA_SETS
from molgraph.molecules.reading.smiles import Standardization
from molgraph.molecules.settings import DataConfig
from molgraph.particles.learning.settings import SpaceConfig, WindowConfig
from molgraph.sequences.layers.architecture import make_shape
from molgraph.sequences.property.texts import Reading
from molgraph.training.comparison.search import Range
from molgraph.training.comparison.study import Candidate
from molgraph.training.config import CONF, TrainerConfig, defaults, locate, parameters, with_values

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


VARIATIONS = {
    "model/attentive_fp": {"readout"},  # its own readout
    "model/dmpnn_rdkit": {"descriptors"},
    "model/best": {"members.network.encoder.hidden", "members.network.descriptors"},
    "model/graph_to_smiles": {"encoder.hidden", "encoder.layers", "shape.width", "shape.layers", "shape.dropout"},
    "model/graph_to_smiles_transformer": {
        "encoder.hidden",
        "encoder.layers",
        "shape.layers",
        "shape.heads",
        "shape.dropout",
    },
    "model/rnn": {"shape.cell"},
    "model/lstm": {"shape.cell"},
    "model/lstm_peephole": {"shape.cell"},
    "model/lstm_coupled": {"shape.cell"},
    "model/set_transformer": {"shape.attention"},
    "model/linformer": {"shape.attention"},
    "model/bigbird": {"shape.attention"},
    "model/perceiver": {"shape.attention"},
    "task/conditional": {"conditions"},
}
"""What a file is there to change; everything else it says is what Python does without being told."""


def python_defaults(key, node):
    """Return what Python takes where the configuration node ``key`` is silent."""
    if "_target_" in node:
        target = locate(node["_target_"])
        return defaults(target) | (defaults(target.build) | vars(Reading()) if hasattr(target, "build") else {})
    if key == "shape":
        kind = type(make_shape(node))
        return {field.name: field.default for field in fields(kind)}
    if key == "windows":
        return {field.name: field.default for field in fields(WindowConfig)}
    return {field.name: field.default for field in fields(SpaceConfig)} if key == "space" else {}


def unequal(node, where=""):
    """Yield the dotted keys of a node whose value is not Python's default."""
    own = python_defaults(where.rpartition(".")[2], node)
    for key, value in node.items():
        name = f"{where}.{key}".lstrip(".")
        if isinstance(value, dict) and key != "report":
            yield from unequal(value, name)
        elif key in own and value != "${seed}":
            same = list(own[key]) if isinstance(own[key], tuple) else own[key]
            if value != same and not (key == "report" and own[key] is None):
                yield name


@pytest.mark.parametrize(("group", "name"), [pair for pair in FILES if pair[0] in ("model", "task")])
def test_whoever_calls_python_gets_what_the_command_gets(group, name):
    node = OmegaConf.to_container(compose("train", overrides=[f"{group}={name}"]), resolve=False)[group]
    if "candidates" in node:  # a study: each candidate is a model of its own
        node = {"run": node["run"]}
    assert set(unequal(node)) == VARIATIONS.get(f"{group}/{name}", set())


def test_the_trainer_of_python_is_that_of_the_command():
    assert composed("trainer=default")["trainer"] == asdict(TrainerConfig())


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

"""What a user chooses, composed as the command line composes it."""

from functools import cache

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from molgraph.training.config import CONF, TrainerConfig


def choice(group, name):
    """Return the node that ``GROUP=NAME`` gives, as plain values of its own."""
    return OmegaConf.to_container(_composed(group, name)[group])


@cache
def _composed(group, name):
    GlobalHydra.instance().clear()
    ConfigStore.instance().store(group="trainer", name="schema", node=TrainerConfig)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=[f"{group}={name}"])

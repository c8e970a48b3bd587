"""A configuration to a finished run folder: ``config -> Experiment -> Trainer.fit -> report``; ``resume`` ends one."""

import math
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from rich.console import Console

from molgraph.training.config import TrainerConfig, instantiate, read_config, with_values
from molgraph.training.experiment import Experiment
from molgraph.training.hardware.distributed import World
from molgraph.training.hardware.step import check_step
from molgraph.training.loggers import Logger, make_loggers
from molgraph.training.plugins import check_targets
from molgraph.training.trainer import Trainer


def train(config: dict[str, Any], folder: str | Path, console: Console | None = None) -> dict[str, Any]:
    """Train what ``config`` describes in ``folder``, or go on with the run that lies there, and report.

    Args:
        config: resolved, with the keys ``data``, ``model``, ``task``, ``trainer``, ``logger`` and ``seed``.
        folder: run folder; made if needed.
        console: where to print.

    Returns:
        The content of ``results.json``.

    Raises:
        ValueError: a value that the trainer or the task does not know.
    """
    settings = TrainerConfig.from_dict(config["trainer"])  # before data are read and a folder is made
    check_targets({key: config.get(key) for key in ("data", "model", "task", "plugins")})
    world = World.join()
    check_step(settings, world)
    if not world.leads:
        with TemporaryDirectory() as aside:  # what the leader writes, too
            _fit(config, settings, Path(folder), Path(aside), Console(quiet=True), world, [])
        return world.agree(None)
    console, folder = console or Console(), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    if config.get("plan"):
        _fit(config, settings, folder, folder, console, world, [])
        console.print("nothing is trained (--plan)", highlight=False)
        return world.agree({"score": math.nan})
    results = _logged(config, settings, folder, console, world)
    console.print(f"run folder: {folder}", highlight=False, markup=False, soft_wrap=True)
    return world.agree(results)


def _logged(
    config: dict[str, Any], settings: TrainerConfig, folder: Path, console: Console, world: World
) -> dict[str, Any]:
    """Train and report; the loggers stay open until they have the results and the pictures."""
    loggers, failed = make_loggers(config, folder), True
    try:
        results = _fit(config, settings, folder, folder, console, world, loggers).report(folder)
        for logger in loggers:
            logger.report(results, folder)
        failed = False
    finally:
        for logger in loggers:
            logger.close(failed)
    return results


def _fit(
    config: dict[str, Any],
    settings: TrainerConfig,
    folder: Path,
    aside: Path,
    console: Console,
    world: World,
    loggers: list[Logger],
) -> Experiment:
    """Train in ``folder``; what the experiment writes beside checkpoints and metrics goes to ``aside``."""
    seed_everything(config["seed"])
    experiment: Experiment = instantiate(
        config["task"],
        data=config["data"],
        model=config.get("model"),
        seed=config["seed"],
        folder=aside,
        console=console,
    )
    if not world.leads:
        world.agree(None)  # what is downloaded, simulated or featurized once is read from the cache of the first
    experiment.prepare()
    if world.leads:
        world.agree(None)
    for line in experiment.plan(settings.epochs, settings.max_steps):
        console.print(f"model: {config.get('label')}, {line}", highlight=False, markup=False, soft_wrap=True)
    if config.get("plan"):
        return experiment
    trainer = Trainer(settings, folder, config, loggers, console, world=world)
    experiment.fit(trainer)
    return experiment


def resume(folder: str | Path, changes: dict[str, Any] | None = None, console: Console | None = None) -> dict[str, Any]:
    """Finish the interrupted run in ``folder``; on a CPU it ends with the weights of an uninterrupted one.

    Args:
        folder: run folder of ``molgraph train``.
        changes: dotted keys of the configuration with new values, for example ``{"trainer.epochs": 100}``.
        console: where to print.

    Raises:
        ValueError: no run folder, or an unknown key.
    """
    folder = Path(folder)
    config = with_values(read_config(folder), changes or {})
    return train(config, folder, console)


def seed_everything(seed: int) -> None:
    """Seed Python's and PyTorch's global generators (NumPy's is never used)."""
    random.seed(seed)
    torch.manual_seed(seed)

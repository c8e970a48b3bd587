import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console

from molgraph.particles.data.trajectory import Metadata, ParticleSet, Trajectory, write_set
from molgraph.particles.experiment import FolderSet, SimulationExperiment, load_simulator
from molgraph.particles.geometry.space import Box
from molgraph.training.config import CONF
from molgraph.training.run import resume, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A set of particles that fall and slow down in a box, with an obstacle."""
    path = tmp_path_factory.mktemp("particles") / "set"

    def trajectory(seed):
        generator = np.random.default_rng(seed)
        start, velocity = generator.uniform(0.2, 0.8, (24, 2)), generator.normal(0, 0.3, (24, 2))
        velocity[20:] = 0
        time = np.arange(30)[:, None, None] * 0.01
        fall = np.where(np.arange(24)[:, None] < 20, 1.0, 0.0) * np.array([0, -0.5]) * time**2
        species = np.array([5] * 20 + [3] * 4, dtype=np.int32)
        return Trajectory(
            (start + velocity * 0.2 * (1 - np.exp(-5 * time)) + fall).astype(np.float32), species, np.array([0, -1.0])
        )

    metadata = Metadata(Box((0, -0.5), (1, 1.5)), 0.01, 0.25, (0.0, -1.0), {"water": 5, "obstacle": 3}, (3,))
    write_set(
        path,
        {s: [trajectory(10 * n + i) for i in range(2)] for n, s in enumerate(("train", "valid", "test"))},
        metadata,
    )
    return path


def configuration(folder, model="gns_conservative", **trainer):
    load = lambda part: yaml.safe_load((CONF / f"{part}.yaml").read_text())  # noqa: E731
    small = {"batch_size": 2, "steps_per_epoch": 6, "validation_steps": 8, "validation_starts": 1, "unroll_from": 1}
    task = load("task/simulation")
    return {
        "data": {"_target_": "molgraph.particles.experiment.FolderSet", "folder": str(folder)},
        "model": load(f"model/{model}") | {"width": 8, "blocks": 1},
        "task": task | {"windows": task["windows"] | small},
        "trainer": {"epochs": 2, "threads": 1, "device": "cpu", "precision": "float32"} | trainer,
        "logger": {"kind": "csv"},
        "seed": 0,
    }


@pytest.mark.parametrize(
    ("model", "options"), [("gns", {}), ("gns_conservative", {}), ("gns_conservative_grid", {"blocks": 2})]
)
def test_a_run_trains_reports_and_loads_again(folder, tmp_path, model, options):
    settings = configuration(folder, model)
    settings["model"] |= options
    results = train(settings, tmp_path / "run", Console(quiet=True))
    stored = json.loads((tmp_path / "run" / "results.json").read_text())
    assert stored["model"].keys() >= {"mse_1", "mse_20", "mse_all", "sliced_wasserstein", "momentum_drift", "escaped"}
    assert np.isfinite(results["score"])
    assert (tmp_path / "run" / "rollout.gif").stat().st_size > 1000
    simulator, metadata = load_simulator(tmp_path / "run")
    assert simulator.scale.species == (3, 5) and metadata.box == Box((0, -0.5), (1, 1.5))


def test_killing_within_an_epoch_and_resuming_is_bit_equal(folder, tmp_path, monkeypatch):
    train(configuration(folder, checkpoint_every=1), tmp_path / "whole", Console(quiet=True))
    from molgraph.particles.learning.objective import SimulationTask

    calls, original = [], SimulationTask.loss

    def dying(self, batch):
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return original(self, batch)

    monkeypatch.setattr(SimulationTask, "loss", dying)
    with pytest.raises(KeyboardInterrupt):
        train(configuration(folder, checkpoint_every=1), tmp_path / "killed", Console(quiet=True))
    monkeypatch.setattr(SimulationTask, "loss", original)
    resume(tmp_path / "killed", console=Console(quiet=True))
    whole, killed = (torch.load(tmp_path / n / "last.pt", weights_only=True)["task"] for n in ("whole", "killed"))
    for name in whole:
        assert torch.equal(whole[name], killed[name]), name


def test_bad_data_stop_a_run_before_training(folder, tmp_path):
    bad = configuration(folder)
    bad["task"] = bad["task"] | {"space": {"radius": 1e-5}}
    with pytest.raises(ValueError, match="neighbours"):
        train(bad, tmp_path / "run", Console(quiet=True))
    long = configuration(folder)
    long["task"] = long["task"] | {"space": {"history": 40}}
    with pytest.raises(ValueError, match="a window needs 42"):
        train(long, tmp_path / "run", Console(quiet=True))
    far = configuration(folder)
    far["task"] = far["task"] | {"windows": {"validation_steps": 30}}
    with pytest.raises(ValueError, match="30 frames, too few to roll out 30 steps"):
        train(far, tmp_path / "run", Console(quiet=True))
    empty = ParticleSet.open(folder)
    parts = {split: empty.trajectories(split) for split in ("train", "valid")} | {"test": []}
    write_set(tmp_path / "empty", parts, empty.metadata)
    with pytest.raises(ValueError, match=r"test\.h5 holds no trajectory"):
        train(configuration(tmp_path / "empty"), tmp_path / "run", Console(quiet=True))
    assert not (tmp_path / "run" / "last.pt").exists()


def test_wrong_words_are_told_before_anything_is_simulated(monkeypatch, tmp_path):
    def simulate(self):
        raise AssertionError("simulated first")

    monkeypatch.setattr(FolderSet, "ensure", simulate)
    for change, message in [
        ({"task": {"space": {"history": 0}}}, "history is 0"),
        ({"task": {"windows": {"batch_size": 0}}}, "batch_size is 0"),
        ({"model": {"width": "wide"}}, "width has to be of type int"),
    ]:
        config = configuration(tmp_path)
        config |= {part: config[part] | values for part, values in change.items()}
        with pytest.raises(ValueError, match=message):
            train(config, tmp_path / "run", Console(quiet=True))


def test_the_noise_is_a_fraction_of_the_velocity_spread(folder, tmp_path):
    config = configuration(folder)
    arguments = {k: v for k, v in config["task"].items() if k != "_target_"} | {"space": {"noise": 0.25}}
    experiment = SimulationExperiment(
        config["data"], config["model"], 0, tmp_path, Console(quiet=True), **arguments
    ).prepare()
    spread = np.sqrt(np.mean(np.square(experiment.metadata.statistics["vel_std"])))
    assert experiment.task.noise == pytest.approx(0.25 * spread)


def test_the_verbs_roll_out_a_run(folder, tmp_path, monkeypatch, capsys):
    from molgraph.cli import main

    train(configuration(folder), tmp_path / "run", Console(quiet=True))
    outputs = [str(tmp_path / f"out.{suffix}") for suffix in ("h5", "extxyz", "traj", "pvd", "gif")]
    # a model of twelve training steps may explode, which is not what is asked here
    words = ["rollout", str(tmp_path / "run"), "--no-guard"]
    main([*words, "--steps", "12", *[word for o in outputs for word in ("-o", o)]])
    assert all(Path(o).exists() for o in outputs)
    assert Image.open(outputs[-1]).n_frames == 13  # the start, and what followed
    told = json.loads((tmp_path / "run" / "rollout.json").read_text())
    assert told["frames"] == 12
    assert told.keys() >= {"mse_5", "sliced_wasserstein", "momentum_drift", "density_deviation", "time_to_failure"}
    assert (tmp_path / "run" / "rollout.png").stat().st_size > 1000
    scene = {
        "box": [[0, 2], [0, 2]],
        "gravity": [0, -1],
        "spacing": 0.1,
        "blocks": [{"center": [1, 1], "half": [0.4, 0.4]}],
    }
    (tmp_path / "scene.yaml").write_text(yaml.safe_dump(scene))
    main([*words, "--scene", str(tmp_path / "scene.yaml"), "--steps", "5", "--relax", "1"])
    assert json.loads((tmp_path / "run" / "rollout.json").read_text())["particles"] == 64
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--number", "9"])
    assert stopped.value.code == 2 and "trajectories 0 to 1" in capsys.readouterr().err


def test_importing_the_commands_is_cheap():
    import subprocess
    import sys

    code = "import sys, molgraph.particles.commands; assert not {'torch', 'ase', 'warp', 'h5py'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

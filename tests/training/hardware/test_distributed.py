"""Two processes on the CPU train as one does; each of them reads half of every batch."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch
from rich.console import Console

from molgraph.particles.learning.windows import TrainingWindows
from molgraph.training.checkpoint import load_checkpoint
from molgraph.training.hardware.distributed import World, one_folder, shard
from molgraph.training.run import train as run
from tests.choices import choice
from tests.training.toy import make_data

SMILES = [f"{'C' * n}{end}" for n in range(1, 21) for end in ("O", "N", "C1CC1")]
WORDS = ["data=csv", "data.targets=[y,z]", "data.workers=0", "data.batch_size=10", "model=gcn", "trainer.epochs=2"]
WORDS += ["model.encoder.hidden=16", "model.encoder.layers=2", "trainer.precision=float32", "trainer.device=cpu"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["smiles", "y", "z"])
        # Every seventh row lacks a target: the processes have unequal numbers of terms in their losses.
        writer.writerows([text, n / 10, "" if n % 7 == 0 else n % 5] for n, text in enumerate(SMILES))
    return path


LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]

PART = """
from pathlib import Path
from molgraph.training.hardware.distributed import World
world = World.join()
import torch.distributed.nn.functional
assert world.agree(world.rank) == 0
World.leave()
names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
assert not [name for name in names if "gloo" in name], names
"""


def train(table, folder, launcher=()):
    """Train in ``folder``'s only run, and return that run."""
    words = [sys.executable, *launcher, "-m", "molgraph", "train", *WORDS, f"data.path={table}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "runs").iterdir()
    return run


def test_two_processes_have_the_losses_of_one_and_share_a_run_folder(table, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = train(table, tmp_path / "one"), train(table, tmp_path / "two", LAUNCHER)
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
    rows = [list(csv.DictReader((run / "metrics.csv").open(newline=""))) for run in (one, two)]
    assert len(rows[0]) == len(rows[1]) == 2
    for first, second in zip(*rows, strict=True):
        assert float(second["train_loss"]) == pytest.approx(float(first["train_loss"]), rel=1e-5)
        # Adam divides by the size of the gradient, so that rounding moves a weight whose gradient is nearly zero.
        assert float(second["val_rmse"]) == pytest.approx(float(first["val_rmse"]), rel=1e-3)
    progress = [load_checkpoint(run / "last.pt")["progress"] for run in (one, two)]
    assert progress[0]["step"] == progress[1]["step"] == 10


def sequence_runs(folder, particles):
    """Configurations of a language model, a translator and a simulator without any random number in their steps."""
    words = ["C" * n + end for n in range(1, 9) for end in ("O", "N", "Cl")]
    (folder / "words.smi").write_text("".join(f"{word}\n" for word in words))
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("reactants", "product"), *((f"{a}.{b}", a + b) for a in words[:5] for b in words)])
    gru = {"shape": {"cell": "gru", "width": 16, "layers": 1, "dropout": 0.0}, "notation": "smiles", "longest": 48}
    windows = {"batch_size": 3, "steps_per_epoch": 4, "validation_steps": 4, "validation_starts": 1}
    simulation = choice("task", "simulation")
    # batches of 7: unequal shares
    language = {"_target_": "molgraph.sequences.language.experiment.LanguageExperiment", "samples": 4, "batch_size": 7}
    translate = {"_target_": "molgraph.sequences.translation.experiment.TranslationExperiment", "batch_size": 7}
    runs = {
        "language": (language, {"path": str(folder / "words.smi"), "val": 0.2, "test": 0.1}, gru),
        "translate": (
            translate | {"report": {"beam": 1, "pairs": 2}},
            {"path": str(folder / "pairs.csv"), "columns": ["reactants", "product"], "val": 0.1, "test": 0.1},
            gru,
        ),
        "simulation": (
            simulation | {"windows": simulation["windows"] | windows, "space": simulation["space"] | {"noise": 0.0}},
            {"_target_": "molgraph.particles.experiment.FolderSet", "folder": str(particles)},
            choice("model", "gns") | {"width": 8, "blocks": 1},
        ),
    }
    trainer = {"epochs": 2, "threads": 1, "precision": "float32", "device": "cpu"}
    return {
        name: {"task": task, "data": data, "model": model, "trainer": trainer, "seed": 0}
        for name, (task, data, model) in runs.items()
    }


ALL = """
import json, sys
from pathlib import Path
from rich.console import Console
from molgraph.training.hardware.distributed import World
from molgraph.training.run import train
for name, config in json.loads(Path(sys.argv[1]).read_text()).items():
    train(config, Path(sys.argv[2]) / name, Console(quiet=True))
World.leave()
"""


def test_texts_pairs_and_particles_are_shared_out_too(particles, tmp_path):
    configs = sequence_runs(tmp_path, particles)
    (tmp_path / "configs.json").write_text(json.dumps(configs))
    (tmp_path / "all.py").write_text(ALL)
    words = [sys.executable, *LAUNCHER, str(tmp_path / "all.py"), str(tmp_path / "configs.json"), str(tmp_path / "two")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    for name, values in configs.items():
        run(values, tmp_path / "one" / name, Console(quiet=True))
        rows = [list(csv.DictReader((tmp_path / n / name / "metrics.csv").open(newline=""))) for n in ("one", "two")]
        assert len(rows[0]) == len(rows[1]) == 2
        for first, second in zip(*rows, strict=True):
            assert float(second["train_loss"]) == pytest.approx(float(first["train_loss"]), rel=1e-4), name
        steps = [load_checkpoint(tmp_path / n / name / "last.pt")["progress"]["step"] for n in ("one", "two")]
        assert steps[0] == steps[1]


def test_fewer_windows_than_processes_are_refused():
    with pytest.raises(ValueError, match=r"task\.windows\.batch_size=1 cannot be shared out among 2 processes"):
        shard(TrainingWindows(None, batch_size=1), World(1, 2, 1))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_who_leaves_takes_its_threads_along(tmp_path):
    script = tmp_path / "part.py"
    script.write_text(PART)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, *LAUNCHER, str(script)], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr


def test_a_process_of_its_own_is_its_own_world(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    world = World.join()
    loss = torch.tensor(2.0)
    assert (world.leads, world.agree("x"), world.share(loss), world.add_up([], loss)) == (True, "x", 1.0, loss)
    batches, _ = make_data()
    assert shard(batches, world) is batches


def test_the_folder_that_was_asked_for_is_kept():
    words = one_folder(["hydra.run.dir=here", "seed=1"])
    assert words[:2] == ["hydra.run.dir=here", "seed=1"]
    assert [word.partition("=")[0] for word in words[2:]] == ["hydra.sweep.dir"]


def test_batches_that_cannot_be_shared_out_are_refused():
    with pytest.raises(ValueError, match="Rows cannot be shared out among 2 processes; start one without torchrun"):
        shard(make_data()[0], World(1, 2, 1))

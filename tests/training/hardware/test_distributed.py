"""Two processes on the CPU train as one does; each of them reads half of every batch."""

import csv
import os
import subprocess
import sys

import pytest
import torch

from molgraph.training.checkpoint import load_checkpoint
from molgraph.training.hardware.distributed import World, one_folder, shard
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

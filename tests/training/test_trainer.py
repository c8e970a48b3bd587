import csv
import math

import pytest
import torch
from rich.console import Console

from molgraph.training.checkpoint import load_checkpoint, save_checkpoint
from molgraph.training.config import OptimizerConfig, TrainerConfig
from molgraph.training.hardware import precision
from molgraph.training.progress import TrainingDiverged
from molgraph.training.task import Task
from molgraph.training.trainer import Trainer, evaluate
from tests.training.toy import Interrupted, interrupt, make_data, make_task

QUIET = Console(quiet=True)
CPU = torch.device("cpu")


def config(**values):
    base = {"epochs": 4, "device": "cpu", "precision": "float32", "checkpoint_every": 3}
    optimizer = OptimizerConfig(learning_rate=values.pop("learning_rate", 0.01), clip=values.pop("clip", 1.0))
    return TrainerConfig(**(base | values), optimizer=optimizer)


def fit(folder, task=None, loggers=(), **values):
    folder.mkdir(exist_ok=True)
    task, (train, val) = task or make_task(), make_data()
    trainer = Trainer(config(**values), folder, {"seed": 0}, list(loggers), QUIET)
    trainer.fit(task, train, val, {"note": "toy"})
    return trainer


def metrics_of(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def assert_same_content(first, second, path=""):
    assert type(first) is type(second), path
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key in first:
            assert_same_content(first[key], second[key], f"{path}/{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), path
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_same_content(*pair, f"{path}/{index}")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), path
    elif not path.endswith("/seconds"):
        assert first == second, path


def assert_same_run(first, second):
    for name in ("best.pt", "last.pt"):
        assert_same_content(load_checkpoint(first / name), load_checkpoint(second / name))
    assert (first / "metrics.csv").read_text() == (second / "metrics.csv").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run with dropout, batch normalization and a moving average: 4 epochs of 8 steps."""
    folder = tmp_path_factory.mktemp("whole")
    fit(folder, ema=0.9)
    return folder


@pytest.mark.parametrize("steps", [[1], [4], [8], [9], [17], [31], [5, 7, 3]])
def test_an_interrupted_run_ends_with_exactly_the_weights_of_an_uninterrupted_one(tmp_path, whole, steps):
    for step in steps:
        with pytest.raises(Interrupted):
            fit(tmp_path / "run", interrupt(make_task(), step), ema=0.9)
    task = make_task()
    if (tmp_path / "run" / "last.pt").exists():  # then neither its weights nor the random state may matter
        torch.nn.init.zeros_(task.model[0].weight)
        torch.manual_seed(99)
    fit(tmp_path / "run", task, ema=0.9)
    assert_same_run(tmp_path / "run", whole)


def test_an_interruption_between_metrics_and_checkpoint_leaves_no_line_twice(tmp_path, whole, monkeypatch):
    # The eighth step ends the epoch and writes last.pt: metrics.csv then runs ahead of it.
    monkeypatch.setattr(Trainer, "_finish_epoch", _failing_after_metrics(Trainer._finish_epoch))
    with pytest.raises(Interrupted):
        fit(tmp_path / "run", ema=0.9, checkpoint_every=8)
    assert len(metrics_of(tmp_path / "run")) == 1
    monkeypatch.undo()
    fit(tmp_path / "run", ema=0.9, checkpoint_every=8)
    assert_same_run(tmp_path / "run", whole)


def _failing_after_metrics(finish):
    def failing(self, val, bar):
        self._save_last = _raise_interrupted
        finish(self, val, bar)

    return failing


def _raise_interrupted():
    raise Interrupted


def test_a_finished_run_is_left_as_it_is(tmp_path, whole):
    fit(tmp_path / "run", ema=0.9)
    fit(tmp_path / "run", ema=0.9)
    assert_same_run(tmp_path / "run", whole)


def test_a_finished_run_can_be_given_more_epochs(tmp_path):
    fit(tmp_path, epochs=2)
    fit(tmp_path, epochs=3)
    assert [row["epoch"] for row in metrics_of(tmp_path)] == ["1", "2", "3"]


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    fit(tmp_path, epochs=1)
    other = make_task()
    other.model[0] = torch.nn.Linear(4, 16)
    with pytest.raises(ValueError, match=r"last.pt does not fit the model of config.yaml"):
        fit(tmp_path, other, epochs=2)


def test_the_kernels_that_auto_chose_are_kept_by_a_resumed_run(tmp_path):
    threads = torch.get_num_threads()
    fit(tmp_path, epochs=1)
    content = load_checkpoint(tmp_path / "last.pt")
    assert content["kernels"] == {"matmul": "highest", "threads": threads}
    content["kernels"] = {"matmul": "medium", "threads": 2}
    save_checkpoint(tmp_path / "last.pt", content)
    try:
        fit(tmp_path, epochs=1)
        assert (torch.get_float32_matmul_precision(), torch.get_num_threads()) == ("medium", 2)
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.set_num_threads(threads)


def test_training_lowers_the_error_and_ends_with_the_best_weights(tmp_path):
    task = make_task(0.0)
    fit(tmp_path, task, epochs=30)
    errors = [float(row["val_rmse"]) for row in metrics_of(tmp_path)]
    assert errors[-1] < 0.5 * errors[0]
    assert evaluate(task, make_data()[1], CPU)["rmse"] == pytest.approx(min(errors))
    best = load_checkpoint(tmp_path / "best.pt")
    assert best["epoch"] == errors.index(min(errors)) + 1
    assert "note: toy" in best["state"]
    assert "seed: 0" in best["config"]


def test_the_moving_average_is_what_is_validated_and_saved(tmp_path):
    seen, task = [], make_task(0.0)
    evaluate_task = task.evaluate

    def spy(batches):
        seen.append([parameter.detach().clone() for parameter in task.parameters()])
        return evaluate_task(batches)

    task.evaluate = spy
    fit(tmp_path, task, epochs=1, ema=0.9)
    by_hand, plain = make_task(0.0), []
    train, _ = make_data()
    trainer = Trainer(config(epochs=1), tmp_path / "other", {}, [], QUIET)
    (tmp_path / "other").mkdir()
    trainer._prepare(by_hand, len(train), {})
    average = [p.detach().clone() for p in by_hand.parameters()]
    by_hand.train()
    for step, batch in enumerate(train.epoch(0)):
        trainer._step(batch)
        trainer.progress.step += 1
        decay = min(0.9, (1 + step) / (10 + step))
        plain = [p.detach().clone() for p in by_hand.parameters()]
        average = [decay * a + (1 - decay) * p for a, p in zip(average, plain, strict=True)]
    for ours, expected, last in zip(seen[0], average, plain, strict=True):
        torch.testing.assert_close(ours, expected)
        assert not torch.allclose(ours, last)
    saved = load_checkpoint(tmp_path / "last.pt")
    assert torch.equal(saved["task"]["model.0.weight"], plain[0])


class Scripted(Task):
    """A task whose validation metric is written down beforehand."""

    monitor = "score"

    def __init__(self, values, mode="min"):
        super().__init__()
        self.weight, self.values, self.mode = torch.nn.Parameter(torch.zeros(1)), iter(values), mode

    def loss(self, batch):
        return (self.weight - 1).square().sum() * batch.targets.mean().abs()

    def evaluate(self, batches):
        return {"score": next(self.values)}


@pytest.mark.parametrize(
    ("values", "mode", "patience", "stops", "best"),
    [
        ([5, 4, 3, 3.5, 3.2, 2, 1], "min", 2, 5, 3),
        ([5, 6, 7, 6, 6, 6, 8], "max", 3, 6, 3),
        ([5, 4, 3, 2, 1, 2, 3], "min", None, 7, 5),
        ([math.nan, 4, math.nan, 3, 2, 1, 1], "min", 3, 7, 6),
        ([math.nan] * 7, "max", 2, 7, 7),
    ],
)
def test_training_stops_when_the_metric_no_longer_gets_better(tmp_path, values, mode, patience, stops, best):
    trainer = fit(tmp_path, Scripted(values, mode), epochs=7, patience=patience)
    assert (trainer.progress.epoch, trainer.progress.best_epoch) == (stops, best)
    assert load_checkpoint(tmp_path / "best.pt")["epoch"] == best


def test_validation_can_be_rarer_than_epochs(tmp_path):
    fit(tmp_path, epochs=5, evaluate_every=2)
    assert [row["epoch"] for row in metrics_of(tmp_path)] == ["2", "4", "5"]


def test_a_run_stops_within_an_epoch_after_max_steps(tmp_path):
    assert fit(tmp_path, max_steps=11).progress.step == 11
    assert [row["step"] for row in metrics_of(tmp_path)] == ["8", "11"]


def test_the_learning_rate_warms_up_and_decays(tmp_path):
    fit(tmp_path, epochs=10)
    rates = [float(row["learning_rate"]) for row in metrics_of(tmp_path)]
    assert rates[-1] == pytest.approx(0.01 * 0.01)
    assert rates == sorted(rates, reverse=True)


def test_gradients_are_clipped(tmp_path):
    task = make_task(0.0)
    task.mean += 1e6  # a huge error
    (tmp_path / "run").mkdir()
    train, _ = make_data()
    trainer = Trainer(config(clip=0.5), tmp_path / "run", {}, [], QUIET)
    trainer._prepare(task, len(train), {})
    trainer._step(next(train.epoch(0)))
    norm = torch.stack([p.grad.norm() for p in task.parameters()]).norm()
    assert norm == pytest.approx(0.5, rel=1e-3)


def test_bfloat16_trains(tmp_path):
    fit(tmp_path, epochs=20, precision="bf16")
    errors = [float(row["val_rmse"]) for row in metrics_of(tmp_path)]
    assert errors[-1] < errors[0]


def test_every_logger_is_begun_where_the_run_starts_and_gets_each_row(tmp_path):
    class Recorder:
        def __init__(self):
            self.rows, self.begun = [], []

        def begin(self, step):
            self.begun.append(step)

        def log(self, row):
            self.rows.append(row)

    first, second = Recorder(), Recorder()
    fit(tmp_path / "run", epochs=2, loggers=[first])
    fit(tmp_path / "run", loggers=[second])
    assert [row["epoch"] for row in (*first.rows, *second.rows)] == [1, 2, 3, 4]
    assert (first.begun, second.begun) == ([0], [first.rows[-1]["step"]])


def test_evaluation_leaves_the_random_state_alone():
    task, (_, val) = make_task(), make_data()
    before = torch.get_rng_state()
    evaluate(task.train(), val, CPU)
    assert torch.equal(before, torch.get_rng_state())
    assert task.training


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"trainer.device=cuda: this PyTorch sees no GPU"):
        fit(tmp_path, device="cuda")


@pytest.mark.parametrize(("gain", "equal"), [(2.0, "bf16"), (0.5, "auto")])
def test_the_fastest_precision_trains_as_the_one_that_it_stands_for(tmp_path, monkeypatch, gain, equal):
    monkeypatch.setattr(precision, "probe", lambda: precision.Probe("highest", gain))
    for name in ("fastest", equal):
        fit(tmp_path / name, precision=name, epochs=1)
    assert_same_run(tmp_path / "fastest", tmp_path / equal)


class Judged(Scripted):
    """A task whose metric is not defined, and which has a loss."""

    def evaluate(self, batches):
        return {"score": math.nan, "loss": next(self.values)}


def test_where_the_metric_is_not_defined_the_loss_chooses_and_patience_works(tmp_path):
    trainer = fit(tmp_path, Judged([3, 2, 1, 4, 5, 6, 7], "max"), epochs=7, patience=2)
    assert (trainer.progress.epoch, trainer.progress.best_epoch, trainer.progress.best) == (5, 3, 1)
    assert trainer.progress.judged_by == "loss"


class Diverging(Scripted):
    """A task whose loss becomes infinite at its third step."""

    def loss(self, batch):
        self.calls = vars(self).get("calls", 0) + 1
        loss = super().loss(batch)
        return loss * math.inf if self.calls == 3 else loss


def test_the_first_loss_that_is_no_number_stops_training(tmp_path):
    with pytest.raises(TrainingDiverged, match=r"the loss at step 3 is (inf|nan).*learning_rate"):
        fit(tmp_path, Diverging([1.0] * 9, "min"), epochs=3)
    assert not (tmp_path / "last.pt").exists()

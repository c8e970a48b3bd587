"""The one training loop: for each epoch, for each batch, a step; then validate, keep the best, save, perhaps stop.

``Trainer(config, folder).fit(task, train, val)`` leaves ``best.pt`` (weights of the best validation), ``last.pt``
(everything that an interrupted run needs to end with the same weights) and ``metrics.csv`` in ``folder``.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from torch import Tensor

from molgraph.training.checkpoint import load_checkpoint, save_checkpoint
from molgraph.training.config import TrainerConfig
from molgraph.training.hardware.allocator import Growth, keep_memory
from molgraph.training.hardware.distributed import World, shard
from molgraph.training.hardware.precision import choose_device, choose_precision, describe_device, set_precision
from molgraph.training.hardware.step import build_passes
from molgraph.training.loggers import CSVLogger, Logger, ProgressLine
from molgraph.training.optim import build_optimizer, learning_rate
from molgraph.training.task import Batches, Resident, Task


@dataclass
class Progress:
    """Where a run stands; saved in ``last.pt``."""

    epoch: int = 0
    """Epoch in progress."""
    batch: int = 0
    """Batches of that epoch that are done."""
    step: int = 0
    """Optimizer steps that are done."""
    best: float | None = None
    """Best validation value so far."""
    best_epoch: int = 0
    """Epoch of the best value."""
    seconds: float = 0.0
    """Training time so far, over all resumptions."""
    loss_sum: float = 0.0
    """Sum of the training losses of the epoch in progress."""


@dataclass
class Trainer:
    """Train a task and keep its best and its last state.

    Attributes:
        config: how long and how precisely.
        folder: run folder for checkpoints and metrics.
        run_config: the whole resolved configuration, stored in each checkpoint.
        loggers: further receivers of the metrics, beside ``metrics.csv``.
        console: where progress is shown.
        world: the processes that share each batch.
    """

    config: TrainerConfig
    folder: Path
    run_config: dict[str, Any] = field(default_factory=dict)
    loggers: list[Logger] = field(default_factory=list)
    console: Console = field(default_factory=Console)
    progress: Progress = field(default_factory=Progress)
    world: World = field(default_factory=World)

    def fit(self, task: Task, train: Batches, val: Batches, state: dict[str, Any] | None = None) -> None:
        """Train ``task`` from the start, or from ``last.pt`` in the run folder, and load the best weights at the end.

        Args:
            task: model, loss and metrics.
            train: batches to learn from.
            val: batches that choose the best epoch.
            state: plain values that rebuild the model beside the configuration, stored in the checkpoints.
        """
        train = shard(train, self.world)
        self._prepare(task, len(train), state or {})
        train, val = on_device(train, self.device), on_device(val, self.device)
        bar = ProgressLine(self.console, self.steps, self.progress.step)
        try:
            while not self._finished():
                self._train_epoch(train, bar)
                self._finish_epoch(val, bar)
        finally:
            bar.close()
            for logger in self.loggers:
                logger.close()
        if self.world.leads:
            task.load_state_dict(load_checkpoint(self.folder / "best.pt")["task"])

    def fit_at_once(
        self, task: Task, fit: Callable[[], None], val: Batches, state: Callable[[], dict[str, Any]]
    ) -> None:
        """Run ``fit`` for a model without gradient steps, and leave the same files as :meth:`fit`.

        Args:
            task: model and metrics; ``fit`` changes it in place.
            fit: learns from the training part.
            val: batches for the validation metric.
            state: called after fitting; plain values that rebuild the model beside the configuration.
        """
        start = time.perf_counter()
        self.task, self.device = task, torch.device("cpu")
        fit()
        self.state = state()
        self.progress.seconds = time.perf_counter() - start
        metrics = evaluate(task, val, self.device)
        self.progress.best, self.progress.epoch, self.progress.best_epoch = metrics[task.monitor], 1, 1
        self._save(self.folder / "best.pt", {"epoch": 1})
        self._save(self.folder / "last.pt", {"progress": vars(self.progress).copy()})
        loggers: list[Logger] = [CSVLogger(self.folder / "metrics.csv", 0), *self.loggers]
        for logger in loggers:
            logger.log({"epoch": 1, "step": 0} | {f"val_{name}": value for name, value in metrics.items()})
            logger.close()

    def _prepare(self, task: Task, batches: int, state: dict[str, Any]) -> None:
        if self.config.threads:
            torch.set_num_threads(self.config.threads)
        self.device = self.world.device(choose_device(self.config.device))
        if self.device.type == "cpu":
            keep_memory()
        self.growth = Growth()
        self.config = replace(self.config, precision=choose_precision(self.config.precision, self.device))
        precision = set_precision(self.config.precision, self.device)
        self.task, self.state = task.to(self.device), state
        self.steps = min(batches * self.config.epochs, self.config.max_steps or batches * self.config.epochs)
        self.optimizer = build_optimizer(task, self.config.optimizer)
        self.passes = build_passes(task, self.config, self.device, self.world)
        self.average = [p.detach().clone() for p in task.parameters()] if self.config.ema else []
        if (self.folder / "last.pt").exists():
            self._restore()
        self.world.begin(task)
        if self.world.leads:
            self.loggers.insert(0, CSVLogger(self.folder / "metrics.csv", self.progress.epoch))
        parameters = sum(p.numel() for p in task.parameters())
        self.console.print(
            f"[bold]{describe_device(self.device)}[/], {precision} · {parameters:,} parameters · "
            f"{self.steps:,} steps in {self.config.epochs} epochs",
            highlight=False,
        )

    def _train_epoch(self, train: Batches, bar: ProgressLine) -> None:
        """Take the steps of one epoch; the batches that a resumed run has done already are drawn and passed over."""
        progress, start = self.progress, time.perf_counter()
        self.task.train()
        losses: list[Tensor] = []
        for index, batch in enumerate(train.epoch(progress.epoch)):
            if index < progress.batch:
                continue
            if progress.step >= self.steps:
                break
            losses.append(self._step(batch))
            progress.step, progress.batch = progress.step + 1, index + 1
            bar.advance(progress.step)
            self.growth.check()
            if progress.step % self.config.checkpoint_every == 0:
                losses, start = self._settle(losses, start)
                self._save_last()
        self._settle(losses, start)

    def _step(self, batch: Any) -> Tensor:
        rate = learning_rate(self.progress.step, self.steps, self.config.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.passes(batch.to(self.device))
        if self.config.optimizer.clip:
            torch.nn.utils.clip_grad_norm_(self.task.parameters(), self.config.optimizer.clip)
        self.optimizer.step()
        if self.average:
            # A short run would otherwise average in its random start.
            decay = min(self.config.ema, (1 + self.progress.step) / (10 + self.progress.step))
            torch._foreach_lerp_(self.average, [p.detach() for p in self.task.parameters()], 1 - decay)
        return loss

    def _settle(self, losses: list[Tensor], start: float) -> tuple[list[Tensor], float]:
        """Add up losses and time: the one moment at which the host waits for the device."""
        if losses:
            # float64 and one by one, so that the sum does not depend on where an interruption cut it.
            for value in torch.stack(losses).double().cpu().tolist():
                self.progress.loss_sum += value
        now = time.perf_counter()
        self.progress.seconds += now - start
        return [], now

    def _finish_epoch(self, val: Batches, bar: ProgressLine) -> None:
        progress = self.progress
        train_loss = progress.loss_sum / max(1, progress.batch)
        progress.epoch, progress.batch, progress.loss_sum = progress.epoch + 1, 0, 0.0
        if progress.epoch % self.config.evaluate_every == 0 or self._out_of_steps():
            self._validate(val, train_loss, bar)
        self._save_last()

    def _out_of_steps(self) -> bool:
        return self.progress.epoch >= self.config.epochs or self.progress.step >= self.steps

    def _finished(self) -> bool:
        patience = self.config.patience
        return self._out_of_steps() or bool(patience and self.progress.epoch - self.progress.best_epoch >= patience)

    def _validate(self, val: Batches, train_loss: float, bar: ProgressLine) -> None:
        progress, start = self.progress, time.perf_counter()
        with self._averaged_weights():
            metrics = self.world.agree(evaluate(self.task, val, self.device) if self.world.leads else None)
            value = metrics[self.task.monitor]
            if self._is_better(value):
                progress.best, progress.best_epoch = value, progress.epoch
                self._save(self.folder / "best.pt", {"epoch": progress.epoch})
        progress.seconds += time.perf_counter() - start
        rate = self.optimizer.param_groups[0]["lr"]
        row = {"epoch": progress.epoch, "step": progress.step, "train_loss": train_loss, "learning_rate": rate}
        row |= {f"val_{name}": metric for name, metric in metrics.items()}
        if self.config.diagnose:
            row |= self.task.diagnose(next(iter(val.epoch(0))).to(self.device))
        for logger in self.loggers:
            logger.log(row)
        bar.show(
            progress.step,
            f"epoch {progress.epoch}/{self.config.epochs}  loss {train_loss:.4f}  val {self.task.monitor} {value:.4f}  "
            f"(best {progress.best:.4f}, epoch {progress.best_epoch})",
        )

    def _is_better(self, value: float) -> bool:
        best = self.progress.best
        if best is None or math.isnan(best):
            return True  # also a metric that is not defined leaves a best.pt
        return value < best if self.task.mode == "min" else value > best

    def _averaged_weights(self) -> "_Swapped":
        return _Swapped(list(self.task.parameters()), self.average)

    def _save(self, path: Path, extra: dict[str, Any]) -> None:
        if not self.world.leads:
            return
        content = {"task": self.task.state_dict(), "config": yaml.safe_dump(self.run_config, sort_keys=False)}
        save_checkpoint(path, content | {"state": yaml.safe_dump(self.state, sort_keys=False)} | extra)

    def _save_last(self) -> None:
        generators = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(self.device)
        self._save(
            self.folder / "last.pt",
            {
                "optimizer": self.optimizer.state_dict(),
                "average": self.average,
                "progress": vars(self.progress).copy(),
                "generators": generators,
                # "auto" chose them by a stopwatch; another kernel or number of threads would round differently.
                "kernels": {"matmul": torch.get_float32_matmul_precision(), "threads": torch.get_num_threads()},
            },
        )

    def _restore(self) -> None:
        content = load_checkpoint(self.folder / "last.pt")
        try:
            self.task.load_state_dict(content["task"])
        except RuntimeError as error:
            raise ValueError(f"{self.folder / 'last.pt'} does not fit the model of config.yaml; {error}") from error
        self.optimizer.load_state_dict(content["optimizer"])
        self.average = [tensor.to(self.device) for tensor in content["average"]]
        self.progress = Progress(**content["progress"])
        torch.set_rng_state(content["generators"]["cpu"])
        if self.device.type == "cpu" and "cuda" not in content["generators"]:
            torch.set_float32_matmul_precision(content["kernels"]["matmul"])
            torch.set_num_threads(self.config.threads or content["kernels"]["threads"])
        if self.device.type == "cuda" and "cuda" in content["generators"]:
            torch.cuda.set_rng_state(content["generators"]["cuda"], self.device)
        self.console.print(f"resuming at epoch {self.progress.epoch + 1}, step {self.progress.step:,}", highlight=False)


class _Swapped:
    """Within the context, the parameters hold their moving average."""

    def __init__(self, parameters: list[torch.nn.Parameter], average: list[Tensor]) -> None:
        self.parameters, self.average = parameters, average

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *_: object) -> None:
        self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for parameter, average in zip(self.parameters, self.average, strict=False):
                parameter.data, average.data = average.data, parameter.data


def on_device(batches: Batches, device: torch.device) -> Batches:
    """Return batches that are made on ``device``, if they can be; others are moved there one by one."""
    return batches.on(device) if isinstance(batches, Resident) else batches


def evaluate(task: Task, batches: Batches, device: torch.device) -> dict[str, float]:
    """Return the task's metrics over ``batches`` in evaluation mode; the random state is left as it was."""

    def moved() -> Iterator[Any]:
        for batch in batches.epoch(0):
            yield batch.to(device)

    was_training = task.training
    task.eval()
    state = torch.get_rng_state()
    with torch.no_grad():
        metrics = task.evaluate(moved())
    torch.set_rng_state(state)
    task.train(was_training)
    return metrics

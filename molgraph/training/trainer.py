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
from torch.optim import Optimizer

from molgraph.training.checkpoint import load_checkpoint, save_checkpoint
from molgraph.training.config import TrainerConfig
from molgraph.training.hardware.allocator import Growth, keep_memory
from molgraph.training.hardware.distributed import World, shard
from molgraph.training.hardware.precision import choose_device, choose_precision, describe_device, set_precision
from molgraph.training.hardware.prefetch import drawn, on_device
from molgraph.training.hardware.step import build_passes, check_batch
from molgraph.training.loggers import CSVLogger, Logger, ProgressLine
from molgraph.training.optim import Swapped, build_optimizer, learning_rate
from molgraph.training.progress import Progress, TrainingDiverged, judge
from molgraph.training.task import Batches, Task


@dataclass
class Setup:
    """What one training runs with, from its first step to its last."""

    task: Task
    """Model, loss and metrics, on the device."""
    state: dict[str, Any]
    """Plain values that rebuild the model beside the configuration, stored in the checkpoints."""
    device: torch.device
    """Where batches and weights lie."""
    steps: int
    """Optimizer steps in all."""
    optimizer: Optimizer
    """Turns gradients into steps."""
    passes: Callable[[Any], Tensor]
    """Batch to loss, with gradients left in the parameters."""
    average: list[Tensor]
    """Moving average of the parameters; empty without one."""
    growth: Growth = field(default_factory=Growth)
    """Watches the memory."""


@dataclass
class Trainer:
    """Train a task and keep its best and its last state.

    Attributes:
        config: how long and how precisely.
        folder: run folder for checkpoints and metrics.
        run_config: the whole resolved configuration, stored in each checkpoint.
        loggers: further receivers of the metrics, beside ``metrics.csv``; whoever made them closes them.
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
        if self.config.step == "captured":
            check_batch(self.config, next(iter(train.epoch(0)), None))
        self._prepare(task, len(train), state or {})
        train, val = on_device(train, self.setup.device), on_device(val, self.setup.device)
        bar = ProgressLine(self.console, self.setup.steps, self.progress.step)
        try:
            while not self._finished():
                self._train_epoch(train, bar)
                self._finish_epoch(val, bar)
        finally:
            bar.close()
        if self.world.leads:
            task.load_state_dict(load_checkpoint(self.folder / "best.pt")["task"])

    def fit_at_once(
        self,
        task: Task,
        fit: Callable[[], dict[str, float] | None],
        val: Batches,
        state: Callable[[], dict[str, Any]],
    ) -> None:
        """Run ``fit`` for a model without gradient steps, and leave the same files as :meth:`fit`.

        Args:
            task: model and metrics; ``fit`` changes it in place.
            fit: learns from the training part; returns the validation metrics if it has learned from ``val``, too.
            val: batches for the validation metric.
            state: called after fitting; plain values that rebuild the model beside the configuration.
        """
        start = time.perf_counter()
        metrics = fit()
        self.progress.seconds = time.perf_counter() - start
        if metrics is None:
            metrics = evaluate(task, val, torch.device("cpu"))
        self.progress.best, self.progress.epoch, self.progress.best_epoch = judge(metrics, task).value, 1, 1
        content = self._content(task, state())
        self._write("best.pt", content | {"epoch": 1})
        self._write("last.pt", content | {"progress": vars(self.progress).copy()})
        loggers: list[Logger] = [CSVLogger(self.folder / "metrics.csv", 0), *self.loggers]
        for logger in loggers:
            logger.log({"epoch": 1, "step": 0} | {f"val_{name}": value for name, value in metrics.items()})

    def _prepare(self, task: Task, batches: int, state: dict[str, Any]) -> None:
        """Choose device and precision, make the optimizer, and go on from ``last.pt`` where there is one."""
        if self.config.threads:
            torch.set_num_threads(self.config.threads)
        device = self.world.device(choose_device(self.config.device))
        if device.type == "cpu":
            keep_memory()
        self.config = replace(self.config, precision=choose_precision(self.config.precision, device))
        precision = set_precision(self.config.precision, device)
        task = task.to(device)
        setup = self.setup = Setup(
            task,
            state,
            device,
            min(batches * self.config.epochs, self.config.max_steps or batches * self.config.epochs),
            build_optimizer(task, self.config.optimizer),
            build_passes(task, self.config, device, self.world),
            [p.detach().clone() for p in task.parameters()] if self.config.ema else [],
        )
        if (self.folder / "last.pt").exists():
            self._restore(setup)
        self.world.begin(task)
        if self.world.leads:
            self.loggers = [CSVLogger(self.folder / "metrics.csv", self.progress.epoch), *self.loggers]
        for logger in self.loggers:
            logger.begin(self.progress.step)
        parameters = sum(p.numel() for p in task.parameters())
        self.console.print(
            f"[bold]{describe_device(device)}[/], {precision} · {parameters:,} parameters · "
            f"{setup.steps:,} steps in {self.config.epochs} epochs",
            highlight=False,
        )

    def _train_epoch(self, train: Batches, bar: ProgressLine) -> None:
        """Take the steps of one epoch; the batches that a resumed run has done already are drawn and passed over."""
        progress, start = self.progress, time.perf_counter()
        self.setup.task.train()
        losses: list[Tensor] = []
        for index, batch in enumerate(drawn(train, progress.epoch, self.setup.device, self.config.step)):
            if index < progress.batch:
                continue
            if progress.step >= self.setup.steps:
                break
            losses.append(self._step(batch))
            progress.step, progress.batch = progress.step + 1, index + 1
            if self.setup.device.type == "cpu" and not losses[-1].isfinite():  # a GPU is asked when it is waited for
                self._settle(losses, start)
            bar.advance(progress.step)
            self.setup.growth.check()
            if progress.step % self.config.checkpoint_every == 0:
                losses, start = self._settle(losses, start)
                self._save_last()
        self._settle(losses, start)

    def _step(self, batch: Any) -> Tensor:
        rate = learning_rate(self.progress.step, self.setup.steps, self.config.optimizer)
        for group in self.setup.optimizer.param_groups:
            group["lr"] = rate
        loss = self.setup.passes(batch.to(self.setup.device))
        if self.config.optimizer.clip:
            torch.nn.utils.clip_grad_norm_(self.setup.task.parameters(), self.config.optimizer.clip)
        self.setup.optimizer.step()
        if self.setup.average:
            # A short run would otherwise average in its random start.
            decay = min(self.config.ema, (1 + self.progress.step) / (10 + self.progress.step))
            torch._foreach_lerp_(self.setup.average, [p.detach() for p in self.setup.task.parameters()], 1 - decay)
        return loss

    def _settle(self, losses: list[Tensor], start: float) -> tuple[list[Tensor], float]:
        """Add up losses and time: the one moment at which the host waits for the device."""
        if losses:
            # float64 and one by one, so that the sum does not depend on where an interruption cut it.
            for number, value in enumerate(torch.stack(losses).double().cpu().tolist()):
                if not math.isfinite(value):
                    raise TrainingDiverged(self.progress.step - len(losses) + number + 1, value)
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
        return self.progress.epoch >= self.config.epochs or self.progress.step >= self.setup.steps

    def _finished(self) -> bool:
        patience = self.config.patience
        return self._out_of_steps() or bool(patience and self.progress.epoch - self.progress.best_epoch >= patience)

    def _validate(self, val: Batches, train_loss: float, bar: ProgressLine) -> None:
        progress, start = self.progress, time.perf_counter()
        with self._averaged_weights():
            metrics = self.world.agree(evaluate(self.setup.task, val, self.setup.device) if self.world.leads else None)
            judged = judge(metrics, self.setup.task, progress.step)
            if judged.is_better(progress):
                progress.best, progress.best_epoch = judged.value, progress.epoch
                progress.judged_by = judged.name
                self._save("best.pt", {"epoch": progress.epoch})
        progress.seconds += time.perf_counter() - start
        rate = self.setup.optimizer.param_groups[0]["lr"]
        row = {"epoch": progress.epoch, "step": progress.step, "train_loss": train_loss, "learning_rate": rate}
        row |= {f"val_{name}": metric for name, metric in metrics.items()}
        if self.config.diagnose:
            row |= self.setup.task.diagnose(next(iter(val.epoch(0))).to(self.setup.device))
        for logger in self.loggers:
            logger.log(row)
        bar.show(
            progress.step,
            f"epoch {progress.epoch}/{self.config.epochs}  loss {train_loss:.4g}  "
            f"val {judged.name} {judged.value:.4g}  (best {progress.best:.4g}, epoch {progress.best_epoch})",
        )

    def _averaged_weights(self) -> "Swapped":
        return Swapped(list(self.setup.task.parameters()), self.setup.average)

    def _content(self, task: Task, state: dict[str, Any]) -> dict[str, Any]:
        """Return what every checkpoint holds."""
        texts = {"config": self.run_config, "state": state}
        return {"task": task.state_dict()} | {k: yaml.safe_dump(v, sort_keys=False) for k, v in texts.items()}

    def _write(self, name: str, content: dict[str, Any]) -> None:
        if self.world.leads:
            save_checkpoint(self.folder / name, content)

    def _save(self, name: str, extra: dict[str, Any]) -> None:
        self._write(name, self._content(self.setup.task, self.setup.state) | extra)

    def _save_last(self) -> None:
        setup = self.setup
        generators = {"cpu": torch.get_rng_state()}
        if setup.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(setup.device)
        self._save(
            "last.pt",
            {
                "optimizer": setup.optimizer.state_dict(),
                "average": setup.average,
                "progress": vars(self.progress).copy(),
                "generators": generators,
                # "auto" chose them by a stopwatch; another kernel or number of threads would round differently.
                "kernels": {"matmul": torch.get_float32_matmul_precision(), "threads": torch.get_num_threads()},
            },
        )

    def _restore(self, setup: Setup) -> None:
        content = load_checkpoint(self.folder / "last.pt")
        try:
            setup.task.load_state_dict(content["task"])
        except RuntimeError as error:
            raise ValueError(f"{self.folder / 'last.pt'} does not fit the model of config.yaml; {error}") from error
        setup.optimizer.load_state_dict(content["optimizer"])
        setup.average = [tensor.to(setup.device) for tensor in content["average"]]
        self.progress = Progress(**content["progress"])
        torch.set_rng_state(content["generators"]["cpu"])
        if setup.device.type == "cpu" and "cuda" not in content["generators"]:
            torch.set_float32_matmul_precision(content["kernels"]["matmul"])
            torch.set_num_threads(self.config.threads or content["kernels"]["threads"])
        if setup.device.type == "cuda" and "cuda" in content["generators"]:
            torch.cuda.set_rng_state(content["generators"]["cuda"], setup.device)
        self.console.print(f"resuming at epoch {self.progress.epoch + 1}, step {self.progress.step:,}", highlight=False)


def evaluate(task: Task, batches: Batches, device: torch.device) -> dict[str, float]:
    """Return the task's metrics over ``batches`` in evaluation mode; the random state is left as it was."""

    def moved() -> Iterator[Any]:
        for batch in drawn(batches, 0, device):
            yield batch.to(device)

    was_training = task.training
    task.eval()
    state = torch.get_rng_state()
    with torch.no_grad():
        metrics = task.evaluate(moved())
    torch.set_rng_state(state)
    task.train(was_training)
    return metrics

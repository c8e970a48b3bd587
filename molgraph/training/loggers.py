"""Where the numbers and pictures of a run go: a CSV file always, the terminal, Weights & Biases or TensorBoard.

rows of validation -> ``Logger.log``;  results and pictures of the run folder -> ``Logger.report``
"""

import csv
import os
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SILENCE = 30.0
"""Seconds after which a file is told how far a training is."""


class Logger(Protocol):
    """Receives one row of metrics after each validation, and what the run found at its end."""

    def begin(self, step: int) -> None:
        """Open before training, which starts behind optimizer step ``step``; a failure is told now."""
        ...

    def log(self, row: dict[str, Any]) -> None:
        """Take one row; ``row["step"]`` counts optimizer steps."""
        ...

    def report(self, results: dict[str, Any], folder: Path) -> None:
        """Take the content of ``results.json``, and the pictures of the run folder."""
        ...

    def close(self, failed: bool = False) -> None:
        """Finish writing; ``failed`` marks a run that an error ended."""
        ...


class CSVLogger:
    """``metrics.csv``: one line for each validation; a resumed run first drops the lines after its checkpoint.

    Args:
        path: the file.
        epoch: keep the existing lines up to this epoch, the last that the checkpoint has finished.
    """

    def __init__(self, path: Path, epoch: int) -> None:
        self.path = path
        rows = []
        if path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= epoch]
        path.unlink(missing_ok=True)
        for row in rows:
            self.log(row)

    def log(self, row: dict[str, Any]) -> None:
        """Append one line, with a header before the first."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)

    def begin(self, step: int) -> None:
        """Nothing to open: the file is made with its first line."""

    def report(self, results: dict[str, Any], folder: Path) -> None:
        """Nothing to take: results and pictures are files already."""

    def close(self, failed: bool = False) -> None:
        """Nothing to do: each line is on disk already."""


@dataclass(frozen=True)
class LoggerConfig:
    """Which logger, and what the run is called there.

    Attributes:
        kind: ``csv``, ``wandb`` or ``tensorboard``.
        project: project of Weights & Biases.
        name: of the run (``null``: model, seed and run folder).
        group: runs that belong together (``null``: none; the runs of a study get its folder).
        tags: words to filter by.
    """

    kind: str = "csv"
    project: str = "molgraph"
    name: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in LOGGERS:
            raise ValueError(f"logger.kind={self.kind!r} is unknown; use {', '.join(LOGGERS)}")


LOGGERS = ("csv", "wandb", "tensorboard")


def make_loggers(config: dict[str, Any], folder: Path) -> list[Logger]:
    """Return the loggers beside ``metrics.csv`` that the node ``logger`` of a configuration asks for.

    Args:
        config: the resolved configuration of a run.
        folder: run folder.

    Raises:
        ValueError: an unknown kind or key.
        ModuleNotFoundError: ``tensorboard`` is not installed.
    """
    node = dict(config.get("logger") or {})
    try:
        asked = LoggerConfig(**(node | {"tags": tuple(node.get("tags") or ())}))
    except TypeError as error:
        raise ValueError(f"logger: {error}; its keys are {', '.join(LoggerConfig.__dataclass_fields__)}") from error
    if asked.kind == "wandb":
        return [WandbLogger(asked, folder, config)]
    return [TensorBoardLogger(folder, config)] if asked.kind == "tensorboard" else []


def flat(results: dict[str, Any], prefix: str = "") -> dict[str, float | str]:
    """Return the numbers and words of nested results under names with slashes.

    >>> flat({"score": 0.5, "test": {"y": {"rmse": 0.7}}, "classes": []})
    {'score': 0.5, 'test/y/rmse': 0.7}
    """
    found: dict[str, float | str] = {}
    for key, value in results.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}/")
        elif isinstance(value, int | float | str) and not isinstance(value, bool):
            found[prefix + str(key)] = value
    return found


def pictures(folder: Path) -> list[Path]:
    """Return the pictures that a run has left in its folder."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".png", ".gif"))


class WandbLogger:
    """Weights & Biases; ``WANDB_MODE=offline`` keeps the run on this machine.

    Test results are the summary of the run there, under names such as ``test/y/rmse``.

    Args:
        asked: project, name, group and tags.
        folder: run folder; wandb writes below it, and a resumed run continues under the same id.
        config: the resolved configuration.
    """

    def __init__(self, asked: LoggerConfig, folder: Path, config: dict[str, Any]) -> None:
        self.asked, self.folder, self.config = asked, folder, config

    @cached_property
    def run(self) -> Any:
        """The run there, opened when it is first needed: a comparison's own after those of its models."""
        import wandb

        identity = self.folder / "wandb_id.txt"
        if not identity.exists():
            identity.write_text(secrets.token_hex(4))
        os.environ.setdefault("WANDB_SILENT", "true")
        return wandb.init(
            project=self.asked.project,
            dir=self.folder,
            config=self.config,
            id=identity.read_text().strip(),
            resume="allow",
            name=self.asked.name or self._name(),
            group=self.asked.group,
            tags=list(self.asked.tags),
        )

    def _name(self) -> str:
        parts = [self.config.get("label"), f"seed {self.config['seed']}" if "seed" in self.config else None]
        return ", ".join([*(part for part in parts if part), self.folder.name])

    def begin(self, step: int) -> None:
        """Open the run."""
        del step
        _ = self.run

    def log(self, row: dict[str, Any]) -> None:
        """Send one row."""
        self.run.log(row, step=int(row["step"]))

    def report(self, results: dict[str, Any], folder: Path) -> None:
        """Send results as the summary, and pictures under the names of their files."""
        import wandb

        self.run.summary.update(flat(results))
        kinds: dict[str, Any] = {".png": wandb.Image, ".gif": lambda path: wandb.Video(path, format="gif")}
        drawn = {path.name: kinds[path.suffix](str(path)) for path in pictures(folder)}
        if drawn:
            self.run.log(drawn)

    def close(self, failed: bool = False) -> None:
        """Finish the run, so that a second one in the same process starts afresh."""
        if "run" in self.__dict__:
            self.run.finish(exit_code=int(failed))


class TensorBoardLogger:
    """TensorBoard event files in ``tensorboard`` below the run folder: ``tensorboard --logdir runs``.

    Args:
        folder: run folder.
        config: the resolved configuration, shown as a text.

    Raises:
        ModuleNotFoundError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        try:
            import tensorboard  # noqa: F401
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "logger=tensorboard needs TensorBoard: pip install 'molgraph[tensorboard]', or use logger=csv"
            ) from error
        self.folder, self.config, self.step = folder / "tensorboard", config, 0

    @cached_property
    def writer(self) -> Any:
        """The writer of the event file, opened when it is first needed."""
        from torch.utils.tensorboard import SummaryWriter

        # What an interrupted run had logged behind its checkpoint is hidden: it is logged again.
        writer = SummaryWriter(str(self.folder), purge_step=self.step + 1 if self.step else None)
        writer.add_text("config", f"```yaml\n{yaml.safe_dump(self.config, sort_keys=False)}```")
        return writer

    def begin(self, step: int) -> None:
        """Open the file."""
        self.step = step
        _ = self.writer

    def log(self, row: dict[str, Any]) -> None:
        """Write one row."""
        self.step = int(row["step"])
        for name, value in row.items():
            self.writer.add_scalar(name, value, self.step)

    def report(self, results: dict[str, Any], folder: Path) -> None:
        """Write the numbers of the results, and the pictures as they are, moving ones too."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        for name, value in flat(results).items():
            if not isinstance(value, str):
                self.writer.add_scalar(name, value, self.step)
        for path in pictures(folder):
            image = Summary.Image(colorspace=4, encoded_image_string=path.read_bytes())
            self.writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=path.name, image=image)]), self.step)

    def close(self, failed: bool = False) -> None:
        """Close the file."""
        if "writer" in self.__dict__:
            self.writer.close()


class ProgressLine:
    """A live bar over all steps on a terminal; elsewhere a line for each tenth of the run, and one in 30 s of silence.

    Args:
        console: where to print.
        steps: optimizer steps of the whole run.
        start: steps that are done already.
    """

    def __init__(self, console: Console, steps: int, start: int) -> None:
        self.console, self.steps, self.printed = console, steps, -1
        self.begun = self.spoken = time.monotonic()
        self.start = start
        self.bar: Progress | None = None
        if console.is_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeRemainingColumn())
            self.bar = Progress(*columns, TextColumn("{task.description}"), console=console, transient=True)
            self.bar.start()
            self.task = self.bar.add_task("", total=steps, completed=start)

    def advance(self, step: int) -> None:
        """Move the bar to optimizer step ``step``."""
        if self.bar is not None:
            self.bar.update(self.task, completed=step)
        elif (now := time.monotonic()) - self.spoken >= SILENCE:
            self.spoken = now
            left = (self.steps - step) * (now - self.begun) / max(1, step - self.start)
            text = f"step {step:,} of {self.steps:,}, about {timedelta(seconds=round(left))} left"
            self.console.print(text, highlight=False, markup=False)

    def show(self, step: int, text: str) -> None:
        """Show the newest metrics."""
        if self.bar is not None:
            self.bar.update(self.task, description=text)
        elif 10 * step // max(1, self.steps) > self.printed:
            self.printed, self.spoken = 10 * step // max(1, self.steps), time.monotonic()
            self.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.stop()

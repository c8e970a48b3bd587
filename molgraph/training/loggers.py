"""Where the numbers of a run go: a CSV file always, the terminal, and Weights & Biases where it is asked for."""

import csv
import os
import secrets
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SILENCE = 30.0
"""Seconds after which a file is told how far a training is."""


class Logger(Protocol):
    """Receives one row of metrics after each validation."""

    def log(self, row: dict[str, float]) -> None:
        """Take one row; ``row["step"]`` counts optimizer steps."""
        ...

    def close(self) -> None:
        """Finish writing."""
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

    def close(self) -> None:
        """Nothing to do: each line is on disk already."""


class WandbLogger:
    """Weights & Biases; ``WANDB_MODE=offline`` keeps the run on this machine.

    Args:
        project: project name there.
        folder: run folder; wandb writes below it, and a resumed run continues under the same id.
        config: the resolved configuration.
    """

    def __init__(self, project: str, folder: Path, config: dict[str, Any]) -> None:
        import wandb

        identity = folder / "wandb_id.txt"
        if not identity.exists():
            identity.write_text(secrets.token_hex(4))
        os.environ.setdefault("WANDB_SILENT", "true")
        self.run = wandb.init(
            project=project,
            dir=folder,
            config=config,
            id=identity.read_text().strip(),
            resume="allow",
            name=folder.name,
        )

    def log(self, row: dict[str, float]) -> None:
        """Send one row."""
        self.run.log(row, step=int(row["step"]))

    def close(self) -> None:
        """Finish the run, so that a second one in the same process starts afresh."""
        self.run.finish()


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

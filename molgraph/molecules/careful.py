"""Reading rows that may do anything: ``rows -> a process of their own -> what could be read, and the reasons``.

A library may raise, hang, or be killed by the kernel on one molecule of a million. The quick way reads many rows at
once in a pool; where that fails, this one finds the row.
"""

import contextlib
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from molgraph.molecules.models.predictor import Featurizer

Read = tuple[Any, dict[int, str]]
"""Valid rows as a model reads them, and the reason of each other row."""

SECONDS = 10.0
"""How long one molecule may take."""
CHUNK_SECONDS = 30.0
"""How long a chunk may take before its rows are looked at one by one."""


def context() -> Any:
    """Return how processes are started: by fork where that is safe, since it is quick."""
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


class ReaderPool:
    """Processes that read chunks of rows; a pool that breaks is replaced."""

    def __init__(self, featurizer: Featurizer, workers: int) -> None:
        self.featurizer, self.workers = featurizer, workers
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.workers, mp_context=context())

    def submit(self, rows: list[str]) -> "Future[Read]":
        """Read a chunk in another process."""
        try:
            return self._pool.submit(self.featurizer, rows)
        except BrokenExecutor:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = self._new()
            return self._pool.submit(self.featurizer, rows)

    def result(self, rows: list[str], read: "Future[Read]") -> Read:
        """Return what was read of a chunk; where the quick way failed, row by row."""
        try:
            return read.result(CHUNK_SECONDS)
        except TimeoutError:
            for process in list(self._pool._processes.values()):  # one of them hangs, and cannot be asked to stop
                process.kill()
        except Exception:  # whatever it was, the row that did it will do it again
            pass
        return read_carefully(self.featurizer, rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)


def read_carefully(featurizer: Featurizer, rows: Sequence[str], seconds: float = SECONDS) -> Read:
    """Read rows one by one in a process of their own; a row that raises, hangs or kills it gets a reason.

    Args:
        featurizer: reads rows.
        rows: texts.
        seconds: how long one may take.
    """
    reasons: dict[int, str] = {}
    left = list(range(len(rows)))
    while left:
        done = _try(featurizer, rows, left, reasons, seconds)
        left = left[done:]
    good = [row for row in range(len(rows)) if row not in reasons]
    encoded, errors = featurizer([rows[row] for row in good])
    return encoded, reasons | {good[place]: reason for place, reason in errors.items()}


def _try(featurizer: Featurizer, rows: Sequence[str], left: list[int], reasons: dict[int, str], seconds: float) -> int:
    """Read rows in one process until one of them ends it; return how many are done with."""
    ours, theirs = context().Pipe(duplex=False)
    process = context().Process(
        target=_report_each, args=(featurizer, [rows[row] for row in left], theirs), daemon=True
    )
    process.start()
    theirs.close()
    try:
        for place, row in enumerate(left):
            if not ours.poll(seconds):
                reasons[row] = f"reading it takes more than {seconds:.0f} s"
                return place + 1
            try:
                reason = ours.recv()
            except EOFError:
                reasons[row] = "reading it ended the process (out of memory, or a fault of a library)"
                return place + 1
            if reason:
                reasons[row] = reason
        return len(left)
    finally:
        process.kill()
        process.join()
        ours.close()


def _report_each(featurizer: Featurizer, rows: list[str], pipe: Connection) -> None:
    with contextlib.suppress(BrokenPipeError):
        for text in rows:
            try:
                featurizer([text])
                pipe.send("")
            except Exception as error:
                pipe.send(f"it cannot be read ({type(error).__name__}: {str(error)[:200]})")

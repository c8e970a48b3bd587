"""One function over many molecules in several processes: ``items -> chunks -> workers -> results in order``."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")

SMALLEST_JOB = 2000
"""Below this number of items, starting processes costs more than it saves."""


def map_chunks(
    function: Callable[[Sequence[Item]], Result],
    items: Sequence[Item],
    workers: int | None,
    label: str,
    console: Console | None = None,
    chunk: int = 500,
) -> Iterator[Result]:
    """Yield ``function(chunk)`` for consecutive chunks of ``items``, in order.

    Args:
        function: importable by name, so that a worker can find it.
        items: what to work on.
        workers: processes; None takes one for each core, 0 or 1 stays in this process.
        label: what the progress bar says.
        console: where the bar is shown; None shows none.
        chunk: items handed over at a time.
    """
    chunks = [items[start : start + chunk] for start in range(0, len(items), chunk)]
    workers = available_cores() if workers is None else workers
    if workers <= 1 or len(items) < SMALLEST_JOB:
        yield from _shown(map(function, chunks), len(chunks), label, console if len(items) >= SMALLEST_JOB else None)
        return
    # Forked workers start at once and share the imports; they only run RDKit and NumPy, never PyTorch's threads.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with context.Pool(workers) as pool:
        yield from _shown(pool.imap(function, chunks), len(chunks), label, console)


def _shown(results: Iterator[Result], total: int, label: str, console: Console | None) -> Iterator[Result]:
    if console is None or not console.is_terminal:
        return results
    return iter(track(results, label, total, console=console, transient=True))


def available_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)

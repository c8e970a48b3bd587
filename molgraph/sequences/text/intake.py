"""Which rows of a corpus a training takes, and what is said of the others.

rows -> fits | LeftOut -> one line for each reason
"""

import csv
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from molgraph.sequences.text.tokenizer import Notation, split

CHUNK = 50_000
"""Rows that are handed to other processes at a time."""

T = TypeVar("T")


@dataclass
class LeftOut:
    """Rows that are not taken, counted by reason."""

    reasons: dict[str, tuple[int, str]] = field(default_factory=dict)
    """How many, and the first of them."""

    def add(self, reason: str, text: str) -> None:
        """Count one."""
        count, first = self.reasons.get(reason, (0, text))
        self.reasons[reason] = count + 1, first

    @property
    def count(self) -> int:
        """All of them."""
        return sum(count for count, _ in self.reasons.values())

    def say(self, part: str, console: Console) -> None:
        """Print a line for each reason."""
        for reason, (count, first) in self.reasons.items():
            rows = "1 row is" if count == 1 else f"{count:,} rows are"
            line = f"{part}: {rows} left out, {reason}; the first is {first[:80]!r}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def fits(text: str, notation: Notation, longest: int) -> bool:
    """Return whether a text has at most ``longest`` tokens with ``<bos>`` and ``<eos>``."""
    # A text has no more tokens than characters, but SELFIES write rings and branches with more.
    return (len(text) <= longest - 2 and notation != "selfies") or len(split(text, notation)) <= longest - 2


def too_long(longest: int) -> str:
    """Return the reason of a text that does not fit."""
    return f"longer than model.longest={longest} allows"


def in_chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """List of ``CHUNK`` items, so that what other processes work on is never the whole corpus."""
    source = iter(items)
    return iter(lambda: list(itertools.islice(source, CHUNK)), [])


def keep_rows(rows: Iterable[tuple[str, ...]], path: Path) -> Path:
    """Write rows to a file, so that a large corpus is cleaned once and is never whole in memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def kept_rows(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield the rows that ``keep_rows`` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        yield from map(tuple, csv.reader(file))

"""Strings to batches: a flat token table, on disk where it is large, cut into batches of similar lengths.

texts -> Corpus.build -> tokens.bin + offsets.npy -> bucket -> rows of a batch -> TokenBatch
"""

import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

import numpy as np

from molgraph.sequences.text.batch import TokenBatch, gather
from molgraph.sequences.text.tokenizer import BOS, EOS, Vocabulary
from molgraph.training.batching import groups_of_similar_size
from molgraph.training.config import require

POOL = 50
"""Batches that are sorted by length together: padding falls under 5 % while batches stay random."""


@dataclass(frozen=True)
class Corpus:
    """Token sequences from ``<bos>`` to ``<eos>`` in one flat table, one byte a token (two for a large vocabulary)."""

    padded: ClassVar[bool] = True

    tokens: np.ndarray
    """All tokens in a row [total], uint8 or uint16; a ``numpy.memmap`` when it was built in a folder."""

    offsets: np.ndarray
    """Row r is ``tokens[offsets[r] : offsets[r + 1]]``; ``[rows + 1]``."""

    @classmethod
    def build(cls, texts: Iterable[str], vocabulary: Vocabulary, folder: Path | None = None) -> "Corpus":
        """Encode texts one by one, so that memory does not grow with the table when it goes to a folder.

        Args:
            texts: what to encode; a generator is read once.
            vocabulary: tokens it does not know become ``<unk>``.
            folder: where ``tokens.bin`` and ``offsets.npy`` are written and memory-mapped; None keeps it in memory.
        """
        dtype = np.dtype(np.uint8 if len(vocabulary) <= 256 else np.uint16)
        if folder is None:
            rows = [np.array([BOS, *vocabulary.encode(text), EOS], dtype) for text in texts]
            offsets = np.cumsum([0, *(len(row) for row in rows)])
            return cls(np.concatenate(rows) if rows else np.zeros(0, dtype), offsets)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "tokens.bin", "wb") as file:
            offsets = _write(texts, vocabulary, dtype, file)
        np.save(folder / "offsets.npy", offsets)
        if len(offsets) == 1:
            return cls(np.zeros(0, dtype), offsets)  # an empty file cannot be mapped
        return cls.open(folder, dtype)

    @classmethod
    def open(cls, folder: Path, dtype: np.dtype) -> "Corpus":
        """Map a table that ``build`` wrote; nothing is read before it is used."""
        return cls(np.memmap(folder / "tokens.bin", dtype, mode="r"), np.load(folder / "offsets.npy", mmap_mode="r"))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> np.ndarray:
        """Tokens of each row, ``<bos>`` and ``<eos>`` included [rows]."""
        return np.diff(self.offsets)

    def for_epoch(self, number: int) -> "Corpus":
        """Return the same corpus: what is stored is not augmented."""
        return self

    def batch(self, rows: Sequence[int] | np.ndarray) -> TokenBatch:
        """Return the given rows, padded to the longest of them."""
        rows = np.asarray(rows)
        starts = self.offsets[rows]
        return gather(self.tokens, starts, self.offsets[rows + 1] - starts)


def _write(texts: Iterable[str], vocabulary: Vocabulary, dtype: np.dtype, file: IO[bytes]) -> np.ndarray:
    offsets = array.array("q", [0])
    for text in texts:
        row = np.array([BOS, *vocabulary.encode(text), EOS], dtype)
        file.write(row.tobytes())
        offsets.append(offsets[-1] + len(row))
    return np.frombuffer(offsets, np.int64)


def bucket(sizes: np.ndarray, batch_size: int, seed: int = 0, epoch: int | None = None) -> Iterator[np.ndarray]:
    """Yield batches of rows of similar length, in an order that depends on (seed, epoch) alone.

    Rows are shuffled, sorted by size within pools of ``POOL`` batches and cut; then the batches are shuffled.

    Args:
        sizes: tokens of each row [rows].
        batch_size: rows of a batch; the last of a pool may have fewer.
        seed: of the shuffling.
        epoch: None for evaluation: sorted by size, each row once, nothing shuffled.

    Yields:
        Row numbers [at most batch_size].

    Raises:
        ValueError: if the batch size is not positive.
    """
    require(batch_size >= 1, "batch_size", batch_size, "at least 1")
    if epoch is None:
        order = np.argsort(sizes, kind="stable")
        yield from (order[start : start + batch_size] for start in range(0, len(order), batch_size))
        return
    random = np.random.default_rng([seed, epoch])
    rows = random.permutation(len(sizes))
    batches = groups_of_similar_size(rows, sizes, batch_size, POOL * batch_size)
    for number in random.permutation(len(batches)):
        yield batches[number]


def share(rows: np.ndarray, part: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """Return the rows of a batch that a process reads, and whether they count.

    A batch may have fewer rows than there are processes: one that is left without reads the first row, which does not
    count, so that all processes take the same steps.

    Args:
        rows: of the whole batch.
        part: this process and the number of processes.

    >>> share(np.array([4, 7, 9]), (1, 2)), share(np.array([4]), (1, 2))
    ((array([7]), True), (array([4]), False))
    """
    rank, size = part
    own = rows[rank::size]
    return (own, True) if len(own) else (rows[:1], False)


def padding_waste(sizes: np.ndarray, batches: Iterable[np.ndarray]) -> float:
    """Return the fraction of padded positions among all positions of the batches."""
    padded = real = 0
    for rows in batches:
        padded += int(sizes[rows].max()) * len(rows)
        real += int(sizes[rows].sum())
    return 1 - real / padded if padded else 0.0


def number_of_batches(rows: int, batch_size: int) -> int:
    """Return batches that ``bucket`` cuts from that many rows."""
    return -(-rows // batch_size)

"""Molecules as a sequence model reads them: text, tokens, batches; randomized anew in each epoch.

SMILES -> SmilesFeaturizer -> EncodedSmiles -> SmilesBatch
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgraph.molecules.reading import InvalidSmiles, Standardization, canonicalize, randomize
from molgraph.sequences.layers.transformer import LONGEST
from molgraph.sequences.text.batch import TokenBatch, pad
from molgraph.sequences.text.tokenizer import BOS, EOS, Notation, Vocabulary, atoms_of_tokens, split

SLACK = 1.15
"""Among writings that are padded to one length, the longest is at most so much longer than the shortest."""


@dataclass(frozen=True)
class Reading:
    """How a SMILES becomes tokens."""

    notation: Notation = "smiles"
    """``smiles``, ``characters`` or ``selfies``."""
    randomize: bool = True
    """Write each molecule anew, from a random atom, in each training epoch (Bjerrum 2017)."""
    longest: int = LONGEST
    """Tokens at most, ``<bos>`` and ``<eos>`` included."""
    average: int = 1
    """Outside training, average the prediction over so many random writings; 1 reads the canonical SMILES."""
    seed: int = 0
    """Of the random writings."""


@dataclass(frozen=True)
class SmilesBatch:
    """What a sequence predictor reads: writings of B molecules, sorted by length into groups that are padded apart.

    A batch can then hold molecules of all sizes, as a random one does, and pad little.
    """

    groups: tuple[TokenBatch, ...]
    """Together B * ``copies`` writings."""
    places: Tensor
    """Where each writing stands in the groups, laid end to end [B * copies]; those of one molecule side by side."""
    copies: int = 1
    """Writings of each molecule, over which the prediction is averaged."""

    @classmethod
    def of(cls, tokens: Sequence[Sequence[int]], copies: int = 1) -> "SmilesBatch":
        """Return the batch of the given writings, ``copies`` of each molecule side by side."""
        lengths = np.array([len(row) for row in tokens], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        groups = tuple(pad([tokens[row] for row in group]) for group in similar(order, lengths))
        return cls(groups, torch.from_numpy(np.argsort(order)), copies)

    def to(self, device: torch.device | str) -> "SmilesBatch":
        """Return the same batch on another device."""
        groups = tuple(group.to(device) for group in self.groups)
        return replace(self, groups=groups, places=self.places.to(device, non_blocking=True))


@dataclass(frozen=True)
class AtomTokens:
    """What a predictor by atom reads."""

    source: TokenBatch
    """Tokens of B molecules."""
    atoms: Tensor
    """Place of each atom among all tokens of the batch, flattened [atoms]."""

    def to(self, device: torch.device | str) -> "AtomTokens":
        """Return the same batch on another device."""
        return AtomTokens(self.source.to(device), self.atoms.to(device, non_blocking=True))


@dataclass(frozen=True)
class EncodedSmiles:
    """Molecules as tokens, ready to be batched."""

    padded: ClassVar[bool] = True

    smiles: list[str]
    """What is read where no random writing takes its place."""
    tokens: list[list[int]]
    """Of each SMILES, ``<bos>`` and ``<eos>`` included."""
    vocabulary: Vocabulary
    """What the numbers mean."""
    reading: Reading
    """How a randomized one is encoded."""

    def __len__(self) -> int:
        return len(self.smiles)

    @property
    def sizes(self) -> np.ndarray:
        """Tokens of each row, for bucketing [rows]."""
        return np.array([len(row) for row in self.tokens], dtype=np.int64)

    def for_epoch(self, number: int) -> "EncodedSmiles":
        """Return what training epoch ``number`` reads: each molecule once, written anew where the reading says so.

        A writing depends on (seed, epoch, row) alone; the canonical one stands in for one that is too long.
        """
        once = replace(self.reading, average=1)
        if not self.reading.randomize:
            return replace(self, reading=once)
        return replace(self, tokens=[self._written(row, number, 1)[0] for row in range(len(self))], reading=once)

    @property
    def unknown(self) -> dict[int, list[str]]:
        """Tokens of each row that the training part did not have: ``{row: tokens}``."""
        return self.vocabulary.unknown(self.smiles)

    def batch(self, rows: Sequence[int] | NDArray[np.int64]) -> SmilesBatch:
        """Return the given rows, each in ``Reading.average`` random writings if that is more than one."""
        copies = self.reading.average
        if copies == 1:
            return SmilesBatch.of([self.tokens[row] for row in rows])
        return SmilesBatch.of([text for row in rows for text in self._written(row, -1, copies)], copies)

    def atom_batch(self, rows: Sequence[int]) -> AtomTokens:
        """Return the given rows as written, with the place of each of their atoms among the tokens."""
        source = pad([self.tokens[row] for row in rows])
        places = []
        for index, row in enumerate(rows):
            atoms = atoms_of_tokens(split(self.smiles[row], "smiles"))
            first = index * source.tokens.shape[1] + 1  # behind <bos>
            places += [first + place for place, atom in enumerate(atoms) if atom >= 0]
        return AtomTokens(source, torch.tensor(places, dtype=torch.long))

    def _written(self, row: int, epoch: int, count: int) -> list[list[int]]:
        """Return random writings that depend on (seed, epoch, row) alone; canonical where one is too long."""
        seed = zlib.crc32(f"{self.reading.seed} {epoch} {row}".encode())
        rows = [[BOS, *self.vocabulary.encode(text), EOS] for text in randomize(self.smiles[int(row)], count, seed)]
        return [tokens if len(tokens) <= self.reading.longest else self.tokens[row] for tokens in rows]


@dataclass(frozen=True)
class SmilesFeaturizer:
    """Any SMILES to tokens, bad ones reported; runs in worker processes.

    The canonical SMILES is read, never the one that was given: sets are put together from sources that each write in a
    style of their own, and a model that sees the style predicts the source. On BBBP a GRU gains 0.05 of AUROC so.
    """

    vocabulary: Vocabulary
    """Of the training part."""
    reading: Reading
    """How a SMILES becomes tokens."""
    standardization: Standardization | None
    """What is done to a molecule before."""

    def __call__(self, smiles: Sequence[str]) -> tuple[EncodedSmiles, dict[int, str]]:
        """Return the molecules that can be read, in order, and for each other row its reason."""
        texts, tokens, errors, longest = [], [], {}, self.reading.longest
        for row, text in enumerate(smiles):
            try:
                text = canonicalize(text, self.standardization)
            except InvalidSmiles as error:
                errors[row] = error.reason
                continue
            numbers = [BOS, *self.vocabulary.encode(text), EOS]
            if len(numbers) > longest:
                errors[row] = (
                    f"it has {len(numbers) - 2} tokens and the model reads {longest - 2}; "
                    f"leave it out, or train with model.longest={len(numbers)}"
                )
                continue
            texts.append(text)
            tokens.append(numbers)
        return EncodedSmiles(texts, tokens, self.vocabulary, self.reading), errors


def similar(order: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Cut rows, in the order of their lengths, into groups that pad little; one empty group if there are none."""
    cuts, first = [], 0
    for place, row in enumerate(order.tolist()):
        if lengths[row] > SLACK * lengths[order[first]]:
            cuts.append(place)
            first = place
    return np.split(order, cuts)


def build_vocabulary(smiles: Sequence[str], reading: Reading) -> Vocabulary:
    """Return the tokens of the training part, with a few random writings of each molecule if randomized."""
    texts = list(smiles)
    if reading.randomize:
        texts += [text for row, smile in enumerate(smiles) for text in randomize(smile, 3, row)]
    return Vocabulary.build(texts, reading.notation)

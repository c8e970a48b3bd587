"""What a translator reads: a text as tokens, or a molecule as its graph.

text -> Source.check -> Source.batch -> encoder of Source.make_encoder -> Memory
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from torch import nn

from molgraph.molecules.graphs import Encoded
from molgraph.molecules.reading import parse, randomize
from molgraph.sequences.layers.architecture import make_encoder, make_shape
from molgraph.sequences.layers.graph_source import MoleculeBatch, MoleculeEncoder, Molecules
from molgraph.sequences.text.batch import TokenBatch, pad
from molgraph.sequences.text.dataset import Corpus
from molgraph.sequences.text.tokenizer import BOS, EOS, PAD, UNK, Vocabulary, atoms_of_tokens, split
from molgraph.sequences.translation.directions import Direction

if TYPE_CHECKING:
    from rich.console import Console


class Source(Protocol):
    """How the texts of a source become what the encoder reads."""

    def check(self, text: str) -> list[str]:
        """Return what is to be said about a text.

        Raises:
            ValueError: if it cannot be read.
        """
        ...

    def batch(self, texts: Sequence[str]) -> TokenBatch | MoleculeBatch:
        """Return texts that ``check`` lets pass, as one batch."""
        ...

    def table(self, texts: Iterable[str], folder: Path, console: "Console | None" = None) -> Encoded:
        """Return a part of a corpus, for training; what is large goes into the folder."""
        ...

    def make_encoder(self) -> nn.Module:
        """Return an ``architecture.Encoder`` with new weights."""
        ...

    def labels(self, text: str) -> tuple[list[str], slice]:
        """Return what stands at the positions of the memory that are worth a look, and which positions these are."""
        ...

    def state(self) -> dict[str, Any]:
        """Return plain values that ``restore_source`` needs beside the configuration."""
        ...


@dataclass(frozen=True)
class TextSource:
    """Texts, token by token."""

    vocabulary: Vocabulary
    """Of the sources of the training part."""
    shape: dict[str, Any]
    """Of the encoder."""
    longest: int
    """Tokens at most, ``<bos>`` and ``<eos>`` included."""
    rewritten: int | None = None
    """Write each SMILES anew in each epoch, with this seed; None reads it as given."""

    def check(self, text: str) -> list[str]:
        """See ``Source.check``."""
        if not text:
            raise ValueError("the source is empty; give a SMILES or a name")
        count = len(split(text, self.vocabulary.notation))
        if count > self.longest - 2:
            raise ValueError(f"{text!r} has {count} tokens; the model reads {self.longest - 2}")
        strange = self.vocabulary.unknown([text]).get(0)
        listed = ", ".join(sorted(set(strange or [])))
        return [f"it has tokens that were not in the training part ({listed})"] if strange else []

    def batch(self, texts: Sequence[str]) -> TokenBatch:
        """See ``Source.batch``."""
        return pad([[BOS, *self.vocabulary.encode(text), EOS] for text in texts])

    def table(self, texts: Iterable[str], folder: Path, console: "Console | None" = None) -> Encoded:
        """See ``Source.table``."""
        corpus = Corpus.build(texts, self.vocabulary, folder)
        return corpus if self.rewritten is None else Rewritten(corpus, self)

    def make_encoder(self) -> nn.Module:
        """See ``Source.make_encoder``."""
        return make_encoder(make_shape(self.shape), len(self.vocabulary), self.longest)

    def labels(self, text: str) -> tuple[list[str], slice]:
        """Return the tokens between ``<bos>`` and ``<eos>``."""
        return split(text, self.vocabulary.notation), slice(1, -1)

    def state(self) -> dict[str, Any]:
        """See ``Source.state``."""
        return self.vocabulary.state()


@dataclass(frozen=True)
class GraphSource:
    """Molecules, atom by atom; how their SMILES is written plays no part."""

    encoder: dict[str, Any]
    """Configuration of the graph encoder."""
    readout: str = "mean"
    """See ``MoleculeEncoder``."""

    def check(self, text: str) -> list[str]:
        """See ``Source.check``."""
        parse(text)
        return []

    def batch(self, texts: Sequence[str]) -> MoleculeBatch:
        """See ``Source.batch``."""
        return Molecules.read(texts).batch(range(len(texts)))

    def table(self, texts: Iterable[str], folder: Path, console: "Console | None" = None) -> Encoded:
        """See ``Source.table``."""
        return Molecules.read(list(texts), workers=None, console=console)

    def make_encoder(self) -> nn.Module:
        """See ``Source.make_encoder``."""
        return MoleculeEncoder(self.encoder, self.readout)

    def labels(self, text: str) -> tuple[list[str], slice]:
        """Return the tokens that write the atoms."""
        tokens = split(text)
        return [token for token, atom in zip(tokens, atoms_of_tokens(tokens), strict=True) if atom >= 0], slice(None)

    def state(self) -> dict[str, Any]:
        """See ``Source.state``."""
        return {}


@dataclass(frozen=True)
class Rewritten:
    """A corpus whose SMILES are written anew, by (seed, epoch, row) alone; the test sees one writing of each."""

    padded: ClassVar[bool] = True

    corpus: Corpus
    """As given."""
    source: TextSource
    """With vocabulary and seed."""
    epoch: int = -1
    """Of training; -1 outside it."""

    def __len__(self) -> int:
        return len(self.corpus)

    def for_epoch(self, number: int) -> "Rewritten":
        """Return the writings of a training epoch."""
        return replace(self, epoch=number)

    @property
    def sizes(self) -> np.ndarray:
        """Tokens of each row as given [rows]."""
        return self.corpus.sizes

    def batch(self, rows: Sequence[int] | np.ndarray) -> TokenBatch:
        """Return the given rows, written anew."""
        given = self.corpus.batch(rows).tokens.tolist()
        return pad([self._written(int(row), tokens) for row, tokens in zip(rows, given, strict=True)])

    def _written(self, row: int, given: list[int]) -> list[int]:
        given = [token for token in given if token != PAD]
        if UNK in given:  # its text cannot be told any more
            return given
        vocabulary = self.source.vocabulary
        seed = zlib.crc32(f"{self.source.rewritten} {self.epoch} {row}".encode())
        tokens = [BOS, *vocabulary.encode(randomize(vocabulary.decode(given), 1, seed)[0]), EOS]
        return tokens if len(tokens) <= self.source.longest else given


def reads_graphs(model: dict[str, Any], direction: Direction) -> bool:
    """Return whether the sources of a ``model`` node are molecule graphs.

    Raises:
        ValueError: if they are, and the direction has none.
    """
    if "encoder" in model and not direction.reads_smiles:
        raise ValueError(f"direction {direction.name} reads no molecule; use a model without a graph encoder, as gru")
    return "encoder" in model


def restore_source(model: dict[str, Any], state: dict[str, Any], longest: int) -> Source:
    """Return the source of a trained translator.

    Args:
        model: configuration node; with ``encoder``, molecules are read as graphs.
        state: what ``Source.state`` gave.
        longest: tokens at most.
    """
    if "encoder" in model:
        return GraphSource(model["encoder"], model.get("readout", "mean"))
    return TextSource(Vocabulary.restore(state), model["shape"], longest)

"""Sequence to sequence: an encoder reads the source, a decoder writes the target, with or without attention.

source -> Encoder -> Memory -> Decoder -> target

The direction says what is source and what is target, and is written into the run: `product_to_reactants` never meets a
test set of `reactants_to_product`.
"""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from molgraph.molecules.smiles import randomize
from molgraph.sequences.batch import TokenBatch, pad
from molgraph.sequences.corpora import open_texts
from molgraph.sequences.dataset import Corpus, bucket, number_of_batches
from molgraph.sequences.decoder import Decoder
from molgraph.sequences.language import token_sums
from molgraph.sequences.metrics import translation_metrics
from molgraph.sequences.tokenizer import BOS, EOS, PAD, UNK, Vocabulary
from molgraph.sequences.translator import Direction, Translator, draw_example, make_pair
from molgraph.training.experiment import Experiment
from molgraph.training.task import Task


@dataclass(frozen=True)
class PairBatch:
    """Sources and targets."""

    source: TokenBatch
    """From `<bos>` to `<eos>`."""
    target: TokenBatch
    """From `<bos>` to `<eos>`."""

    def to(self, device: torch.device | str) -> PairBatch:
        """The same batch on another device."""
        return PairBatch(self.source.to(device), self.target.to(device))


@dataclass(frozen=True)
class PairBatches:
    """Batches of pairs of similar lengths; the order and the random writings depend on (seed, epoch) alone."""

    sources: Corpus
    """What is read."""
    targets: Corpus
    """What is written."""
    batch_size: int
    """Pairs of a batch."""
    seed: int = 0
    """Of order and writings."""
    shuffle: bool = True
    """Whether they change with the epoch; False for evaluation."""
    randomized: Vocabulary | None = None
    """Write each source anew, in this vocabulary: its text is a SMILES."""

    def __len__(self) -> int:
        return number_of_batches(len(self.sources), self.batch_size)

    def epoch(self, number: int) -> Iterator[PairBatch]:
        """The batches of an epoch."""
        sizes = self.sources.sizes + self.targets.sizes
        for rows in bucket(sizes, self.batch_size, self.seed, number if self.shuffle else None):
            source = self.sources.batch(rows)
            if self.randomized is not None:
                source = self._written(rows, number if self.shuffle else -1, self.randomized)
            yield PairBatch(source, self.targets.batch(rows))

    def _written(self, rows: np.ndarray, epoch: int, vocabulary: Vocabulary) -> TokenBatch:
        texts = []
        for row, tokens in zip(rows.tolist(), self.sources.batch(rows).tokens.tolist(), strict=True):
            if UNK in tokens:  # its text cannot be told any more: it stays as given
                texts.append([token for token in tokens if token != PAD])
                continue
            seed = zlib.crc32(f"{self.seed} {epoch} {row}".encode())
            texts.append([BOS, *vocabulary.encode(randomize(vocabulary.decode(tokens), 1, seed)[0]), EOS])
        return pad(texts)


class TranslationTask(Task):
    """Mean negative log-likelihood of a target token given the source and the target tokens before it.

    Args:
        encoder: source to memory.
        decoder: memory to target.
    """

    monitor, mode = "nats_per_token", "min"

    def __init__(self, encoder: nn.Module, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def loss(self, batch: PairBatch) -> Tensor:
        """Nats per token of a batch."""
        logits, targets = self._logits(batch)
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=PAD)

    def evaluate(self, batches: Iterable[PairBatch]) -> dict[str, float]:
        """Nats per token, and the share of tokens that are the most probable one, the target before them given."""
        sums = np.zeros(4)
        for batch in batches:
            sums += token_sums(*self._logits(batch))
        nats, right, tokens, _ = sums.tolist()
        return {"nats_per_token": nats / tokens, "token_accuracy": right / tokens}

    def _logits(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        tokens = batch.target.tokens
        return self.decoder(tokens[:, :-1], self.encoder(batch.source)), tokens[:, 1:]


class TranslationExperiment(Experiment):
    """A translator between two texts of a corpus.

    Args:
        data: see `corpora.open_texts`.
        model: node with `shape`, `notation` and `longest`.
        seed: of the order of batches and of random writings.
        folder: run folder.
        console: where progress is shown.
        direction: see `translate.DIRECTIONS`.
        batch_size: pairs of a batch.
        report: `beam` (candidates for each source) and `pairs` (test pairs) of the final scoring.
    """

    def __init__(
        self,
        data: dict[str, Any],
        model: dict[str, Any],
        seed: int,
        folder: Path,
        console: Console | None = None,
        direction: str = "reactants_to_product",
        batch_size: int = 64,
        report: dict[str, int] | None = None,
    ) -> None:
        self.console, self.seed, self.direction = console or Console(), seed, Direction.named(direction)
        self.beam, self.scored = (report or {}).get("beam", 5), (report or {}).get("pairs", 500)
        self.model, self.longest = model, int(model.get("longest", 512))
        self.texts = open_texts(data, self.direction.columns(data.get("columns")))
        train, val = list(self._pairs("train")), list(self._pairs("val"))
        if not train or not val:
            raise ValueError(f"{self.texts.name} leaves {len(train)} pairs to train on and {len(val)} to validate")
        self._build_vocabularies(train)
        self.train = self._batches(train, batch_size)
        self.val = replace(self._batches(val, 4 * batch_size), shuffle=False)
        self.encoder, self.decoder = make_pair(model["shape"], len(self.source), len(self.target), self.longest)
        self.task = TranslationTask(self.encoder, self.decoder)
        sizes = f"{len(train):,} pairs to learn from, {len(val):,} to validate"
        self.console.print(f"{self.texts.name}, {self.direction.name}: {sizes}", highlight=False)

    def _pairs(self, part: str) -> Iterator[tuple[str, str]]:
        """Source and target of each row that is not longer than the model reads, without atom maps."""
        for row in self.texts.rows(part):
            source, target = self.direction.pair(row)
            if source and target and max(len(source), len(target)) <= self.longest - 2:
                yield source, target

    def _build_vocabularies(self, pairs: Sequence[tuple[str, str]]) -> None:
        sources = [source for source, _ in pairs]
        if self.direction.random_source:
            sources += [randomize(source, 1, row)[0] for row, source in enumerate(sources)]
        notation = self.model.get("notation", "smiles")
        self.source = Vocabulary.build(sources, self.direction.notation(True, notation))
        self.target = Vocabulary.build((target for _, target in pairs), self.direction.notation(False, notation))

    def _batches(self, pairs: Sequence[tuple[str, str]], batch_size: int) -> PairBatches:
        sources = Corpus.build((source for source, _ in pairs), self.source)
        targets = Corpus.build((target for _, target in pairs), self.target)
        randomized = self.source if self.direction.random_source else None
        return PairBatches(sources, targets, batch_size, self.seed, True, randomized)

    def state(self) -> dict[str, Any]:
        """What rebuilds the model beside its configuration."""
        return {
            "task": "translate",
            "direction": self.direction.name,
            "source": self.source.state(),
            "target": self.target.state(),
            "longest": self.longest,
        }

    def report(self, folder: Path) -> dict[str, Any]:
        """Translates test pairs with a beam and scores the candidates after canonicalization."""
        self.task.eval()
        device = next(self.task.parameters()).device
        with torch.no_grad():
            metrics = self.task.evaluate(batch.to(device) for batch in self.val.epoch(0))
        translator = Translator(self.encoder, self.decoder, self.source, self.target, self.direction, self.longest)
        pairs = list(itertools.islice(self._pairs("test"), self.scored)) or list(
            itertools.islice(self._pairs("val"), self.scored)
        )
        sources, targets = self._test_sources(pairs), [target for _, target in pairs]
        candidates = [[text for text, _ in row] for row in translator.translate(sources, self.beam)]
        scores = translation_metrics(candidates, targets, self.direction.writes_smiles)
        results = {
            "score": metrics[self.task.monitor],
            "validation": metrics,
            "test": scores | {"beam": float(self.beam)},
        }
        (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        draw_example(translator, sources[0], folder / "attention.png")
        show(results, self.direction.name, self.console)
        return results

    def _test_sources(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """What is read in the test: as in the file, or one random writing that only the row decides."""
        if not self.direction.random_source:
            return [source for source, _ in pairs]
        return [randomize(source, 1, zlib.crc32(f"test {row}".encode()))[0] for row, (source, _) in enumerate(pairs)]


def show(results: dict[str, Any], title: str, console: Console) -> None:
    """Prints the numbers as a table."""
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for part in ("validation", "test"):
        for name, value in results[part].items():
            table.add_row(f"{part} {name}", f"{value:.0f}" if name in ("n", "beam") else f"{value:.4f}")
    console.print(table)

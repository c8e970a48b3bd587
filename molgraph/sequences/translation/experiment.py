"""Sequence to sequence: an encoder reads the source, a decoder writes the target, with or without attention.

source -> Encoder -> Memory -> Decoder -> target

The direction says what is source and what is target, and is written into the run: ``product_to_reactants`` never meets
a test set of ``reactants_to_product``.
"""

import itertools
import json
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from molgraph.molecules.reading import InvalidSmiles, parse, randomize
from molgraph.sequences.decoding.likelihood import LikelihoodTask, token_sums
from molgraph.sequences.evaluation.metrics import translation_metrics
from molgraph.sequences.layers.architecture import decoder_shape
from molgraph.sequences.layers.decoder import Decoder
from molgraph.sequences.text.corpora import open_texts
from molgraph.sequences.text.dataset import Corpus
from molgraph.sequences.text.intake import LeftOut, fits, keep_rows, kept_rows, too_long
from molgraph.sequences.text.tokenizer import Notation, Vocabulary
from molgraph.sequences.translation.directions import Direction
from molgraph.sequences.translation.pairs import PairBatch, PairBatches
from molgraph.sequences.translation.sources import Source, TextSource, reads_graphs, restore_source
from molgraph.sequences.translation.translator import Translator, draw_example, make_target
from molgraph.training.experiment import Experiment


class TranslationTask(LikelihoodTask):
    """An encoder and a decoder, and how well they foretell the next token of the target.

    Args:
        encoder: source to memory.
        decoder: memory to target.
    """

    def __init__(self, encoder: nn.Module, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def targets(self, batch: PairBatch) -> Tensor:
        """See ``LikelihoodTask.targets``."""
        return batch.target.tokens[:, 1:]

    def logits(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """See ``LikelihoodTask.logits``."""
        tokens = batch.target.tokens
        return self.decoder(tokens[:, :-1], self.encoder(batch.source)), tokens[:, 1:]

    def evaluate(self, batches: Iterable[PairBatch]) -> dict[str, float]:
        """Return nats per token, and the share of tokens that are the most probable one given those before."""
        sums = np.zeros(4)
        for batch in batches:
            sums += token_sums(*self.logits(batch))
        nats, right, tokens, _ = sums.tolist()
        return {"nats_per_token": nats / tokens, "token_accuracy": right / tokens}


class TranslationExperiment(Experiment):
    """A translator between two texts of a corpus, or from molecule graphs to texts.

    Args:
        data: see ``corpora.open_texts``.
        model: node with ``shape``, ``notation`` and ``longest``; with ``encoder`` (and ``readout``) of a graph source.
        seed: of the order of batches and of random writings.
        folder: run folder.
        console: where progress is shown.
        direction: see ``directions.DIRECTIONS``.
        batch_size: pairs of a batch.
        report: ``beam`` (candidates for each source) and ``pairs`` (test pairs) of the final scoring.
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
        self.model, self.longest, self.batch_size = model, int(model.get("longest", 512)), batch_size
        self.reads_graphs = reads_graphs(model, self.direction)
        decoder_shape(model)  # a model that cannot write is told before anything is read
        self.data = data

    def prepare(self) -> Self:
        """Read the pairs, make vocabularies, batches and model."""
        columns = self.direction.columns(self.data.get("columns"))
        self.texts = open_texts(self.data, columns, self.direction.groups)
        self.texts.say(self.console)
        self.scratch = tempfile.TemporaryDirectory(prefix="molgraph_")
        train, val = self._keep("train"), self._keep("val")
        self.target = Vocabulary.build((target for _, target in kept_rows(train)), self._notation(source=False))
        self.source = self._make_source(train)
        self.largest = max(len(self.source.labels(source)[0]) for source, _ in kept_rows(train))
        self.train = self._batches(train, self.batch_size)
        self.val = replace(self._batches(val, 4 * self.batch_size), shuffle=False)
        self.task = self.build_model(self.model)
        self.encoder, self.decoder = self.task.encoder, self.task.decoder
        sizes = f"{len(self.train.targets):,} pairs to learn from, {len(self.val.targets):,} to validate"
        self.console.print(f"{self.texts.name}, {self.direction.name}: {sizes}", highlight=False, markup=False)
        return self

    def build_model(self, model: dict[str, Any]) -> TranslationTask:
        """Return the untrained encoder and decoder that a configuration node describes, for these vocabularies."""
        encoder = restore_source(model, self.source.state(), self.longest).make_encoder()
        return TranslationTask(encoder, make_target(decoder_shape(model), len(self.target), encoder, self.longest))

    def _notation(self, source: bool) -> Notation:
        return self.direction.notation(source, self.model.get("notation", "smiles"))

    def _keep(self, part: str) -> Path:
        """Clean a part once, into a file, and says what was left out."""
        left_out = LeftOut()
        path = keep_rows(self._pairs(part, left_out), Path(self.scratch.name) / f"{part}.csv")
        left_out.say(part, self.console)
        if not path.stat().st_size:
            raise ValueError(f"{self.texts.name} leaves no pairs in its part {part}; see data.val and model.longest")
        return path

    def _pairs(self, part: str, left_out: LeftOut) -> Iterator[tuple[str, str]]:
        """Yield source and target of each row that the model can read and write, without atom maps."""
        for row in self.texts.rows(part):
            try:
                source, target = self.direction.pair(row)
                if self.reads_graphs or self.direction.random_source:
                    parse(source)
            except InvalidSmiles as error:
                left_out.add(f"not a SMILES ({error.reason})", error.smiles)
                continue
            is_source_long = not self.reads_graphs and not fits(source, self._notation(True), self.longest)
            if not source or not target:
                left_out.add("an empty source or target", " -> ".join(row))
            elif is_source_long or not fits(target, self._notation(False), self.longest):
                left_out.add(too_long(self.longest), " -> ".join(row))
            else:
                yield source, target

    def _make_source(self, train: Path) -> Source:
        if self.reads_graphs:
            return restore_source(self.model, {}, self.longest)
        sources = (source for source, _ in kept_rows(train))
        if self.direction.random_source:
            sources = (text for row, one in enumerate(sources) for text in (one, *randomize(one, 1, row)))
        vocabulary = Vocabulary.build(sources, self._notation(source=True))
        seed = self.seed if self.direction.random_source else None
        return TextSource(vocabulary, self.model["shape"], self.longest, seed)

    def _batches(self, path: Path, batch_size: int) -> PairBatches:
        folder = path.with_suffix("")
        sources = self.source.table((source for source, _ in kept_rows(path)), folder / "source", self.console)
        targets = Corpus.build((target for _, target in kept_rows(path)), self.target, folder / "target")
        return PairBatches(sources, targets, batch_size, self.seed)

    def state(self) -> dict[str, Any]:
        """Return what rebuilds the model beside its configuration."""
        return {
            "task": "translate",
            "direction": self.direction.name,
            "source": self.source.state(),
            "target": self.target.state(),
            "longest": self.longest,
            "largest": self.largest,
        }

    def report(self, folder: Path) -> dict[str, Any]:
        """Translate test pairs with a beam and scores the candidates after canonicalization."""
        self.task.eval()
        device = next(self.task.parameters()).device
        with torch.no_grad():
            metrics = self.task.evaluate(batch.to(device) for batch in self.val.epoch(0))
        translator = Translator(self.encoder, self.decoder, self.source, self.target, self.direction, self.longest)
        pairs, left_out = self._test_pairs()
        sources, targets = self._test_sources(pairs), [target for _, target in pairs]
        candidates = [[text for text, _ in row] for row in translator.translate(sources, self.beam)]
        scores = translation_metrics(candidates, targets, self.direction.writes_smiles)
        scores |= {"beam": float(self.beam), "left_out": float(left_out)}
        results = {"score": metrics[self.task.monitor], **self.task.judged_by, "validation": metrics, "test": scores}
        (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        draw_example(translator, sources[0], folder / "attention.png")
        show(results, self.direction.name, self.console)
        return results

    def _test_pairs(self) -> tuple[list[tuple[str, str]], int]:
        """Return the first pairs of the test part (else of the validation part), and how many are left out."""
        for part in ("test", "val"):
            left_out = LeftOut()
            pairs = list(itertools.islice(self._pairs(part, left_out), self.scored))
            if pairs:
                break
        left_out.say(part, self.console)
        return pairs, left_out.count

    def _test_sources(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """Return what is read in the test: as in the file, or one random writing that only the row decides."""
        if not self.direction.random_source:
            return [source for source, _ in pairs]
        texts = []
        for row, (source, _) in enumerate(pairs):
            text = randomize(source, 1, zlib.crc32(f"test {row}".encode()))[0]
            texts.append(text if self.reads_graphs or fits(text, self._notation(True), self.longest) else source)
        return texts


def show(results: dict[str, Any], title: str, console: Console) -> None:
    """Print the numbers as a table."""
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for part in ("validation", "test"):
        for name, value in results[part].items():
            table.add_row(f"{part} {name}", f"{value:.0f}" if name in ("n", "beam", "left_out") else f"{value:.4f}")
    console.print(table)

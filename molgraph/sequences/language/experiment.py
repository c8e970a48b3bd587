"""SMILES language model: predict the next token, alone or for asked-for properties.

texts -> Corpus -> LanguageBatch -> Decoder -> cross-entropy; then sample, judge and draw
"""

import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from molgraph.molecules.reading import PROPERTIES, canonicalize_all, properties
from molgraph.sequences.decoding.likelihood import LikelihoodTask, token_sums
from molgraph.sequences.evaluation.metrics import keys_of
from molgraph.sequences.language.generator import Condition, Generator
from molgraph.sequences.language.samples import judge
from molgraph.sequences.layers.architecture import decoder_shape, make_decoder
from molgraph.sequences.layers.decoder import Decoder
from molgraph.sequences.text.batch import TokenBatch
from molgraph.sequences.text.corpora import open_texts
from molgraph.sequences.text.dataset import Corpus, bucket, number_of_batches, share
from molgraph.sequences.text.intake import LeftOut, fits, in_chunks, too_long
from molgraph.sequences.text.tokenizer import Vocabulary
from molgraph.training.experiment import Experiment

REFERENCE = 10_000
"""Held-out molecules that are kept beside a run for comparison."""


@dataclass(frozen=True)
class LanguageBatch:
    """Sequences to learn, and what was asked for."""

    sequences: TokenBatch
    """From ``<bos>`` to ``<eos>``."""
    condition: Tensor | None = None
    """Standardized values of each row [B, C]."""

    def to(self, device: torch.device | str) -> "LanguageBatch":
        """Return the same batch on another device."""
        condition = None if self.condition is None else self.condition.to(device, non_blocking=True)
        return LanguageBatch(self.sequences.to(device), condition)


class LanguageTask(LikelihoodTask):
    """A language model and how well it foretells the next token.

    Args:
        decoder: the language model.
    """

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def targets(self, batch: LanguageBatch) -> Tensor:
        """See ``LikelihoodTask.targets``."""
        return batch.sequences.tokens[:, 1:]

    def logits(self, batch: LanguageBatch) -> tuple[Tensor, Tensor]:
        """See ``LikelihoodTask.logits``."""
        tokens = batch.sequences.tokens
        return self.decoder(tokens[:, :-1], condition=batch.condition), tokens[:, 1:]

    def evaluate(self, batches: Iterable[LanguageBatch]) -> dict[str, float]:
        """Return nats per token and per molecule, and the share of tokens that are the most probable one."""
        sums = np.zeros(4)
        for batch in batches:
            sums += token_sums(*self.logits(batch))
        nats, right, tokens, rows = sums.tolist()
        return {"nats_per_token": nats / tokens, "nats_per_molecule": nats / rows, "token_accuracy": right / tokens}


@dataclass(frozen=True)
class LanguageBatches:
    """Batches of similar lengths whose order depends on (seed, epoch) alone."""

    corpus: Corpus
    """Sequences."""
    batch_size: int
    """Sequences of a batch."""
    conditions: np.ndarray | None = None
    """Standardized values of each row [rows, C]."""
    seed: int = 0
    """Of the order."""
    shuffle: bool = True
    """Whether the order changes with the epoch; False for evaluation."""
    part: tuple[int, int] = (0, 1)
    """This process and the number of processes that share each batch."""

    def shard(self, rank: int, size: int) -> "LanguageBatches":
        """Return the same batches of which process ``rank`` of ``size`` reads its share."""
        return replace(self, part=(rank, size))

    def __len__(self) -> int:
        return number_of_batches(len(self.corpus), self.batch_size)

    def epoch(self, number: int) -> Iterator[LanguageBatch]:
        """Yield the batches of an epoch."""
        for whole in bucket(self.corpus.sizes, self.batch_size, self.seed, number if self.shuffle else None):
            rows, counts = share(whole, self.part)
            condition = None if self.conditions is None else torch.from_numpy(self.conditions[rows]).float()
            sequences = self.corpus.batch(rows)
            yield LanguageBatch(sequences if counts else sequences.blank(), condition)


class LanguageExperiment(Experiment):
    """A language model of a corpus of molecules.

    Args:
        data: see ``corpora.open_texts``.
        model: node with ``shape``, ``notation`` and ``longest``.
        seed: of the order of batches and of the samples.
        folder: run folder.
        console: where progress is shown.
        batch_size: sequences of a batch.
        conditions: properties to condition on: names of ``chemistry.PROPERTIES`` or columns of the file.
        samples: molecules that the report generates.
    """

    def __init__(
        self,
        data: dict[str, Any],
        model: dict[str, Any],
        seed: int,
        folder: Path,
        console: Console | None = None,
        batch_size: int = 128,
        conditions: Sequence[str] = (),
        samples: int = 1000,
    ) -> None:
        self.console, self.seed, self.samples = console or Console(), seed, samples
        self.names, self.model, self.longest = list(conditions), model, int(model.get("longest", 512))
        self.notation = model.get("notation", "smiles")
        decoder_shape(model)  # a model that cannot write is told before anything is read
        if "encoder" in model:
            raise ValueError(
                "a language model has no source, and this model has an encoder; use model=gru, or translate"
            )
        self.data, self.batch_size = data, batch_size

    def prepare(self) -> Self:
        """Read the texts, make vocabulary, conditions, batches and model."""
        columns = [name for name in self.names if name not in PROPERTIES]
        first = (self.data.get("columns") or ["smiles"])[0]
        self.texts = open_texts(self.data, (first, *columns), prose=self.notation == "characters")
        self.texts.say(self.console)
        self.vocabulary = Vocabulary.build(self._texts("train"), self.notation)
        self.scratch = tempfile.TemporaryDirectory(prefix="molgraph_")
        self.conditions: list[Condition] = []
        train, val = self._part("train"), self._part("val")
        self.train = LanguageBatches(train[0], self.batch_size, train[1], self.seed)
        self.val = LanguageBatches(val[0], 4 * self.batch_size, val[1], self.seed, shuffle=False)
        if not len(train[0]) or not len(val[0]):
            raise ValueError(f"{self.texts.name} leaves {len(train[0])} rows to train on and {len(val[0])} to validate")
        self.decoder = self.build_model(self.model)
        self.task = LanguageTask(self.decoder)
        sizes = f"{len(train[0]):,} texts to learn from, {len(val[0]):,} to validate, {len(self.vocabulary)} tokens"
        self.console.print(f"{self.texts.name}: {sizes}", highlight=False, markup=False)
        return self

    def build_model(self, model: dict[str, Any]) -> Decoder:
        """Return the untrained decoder that a configuration node describes, for the prepared vocabulary."""
        return make_decoder(decoder_shape(model), len(self.vocabulary), 0, len(self.names), self.longest)

    def _rows(self, part: str, left_out: LeftOut | None = None) -> Iterator[tuple[str, ...]]:
        """Yield rows that have a text which is not longer than the model reads."""
        left_out = left_out or LeftOut()
        for row in self.texts.rows(part):
            if not row[0]:
                left_out.add("an empty text", " ".join(row))
            elif not fits(row[0], self.notation, self.longest):
                left_out.add(too_long(self.longest), row[0])
            else:
                yield row

    def _part(self, part: str) -> tuple[Corpus, np.ndarray | None]:
        """Return the corpus of a part and the standardized conditions of its rows; says what was left out."""
        folder, left_out, values = Path(self.scratch.name) / part, LeftOut(), list[np.ndarray]()
        texts = self._measured(part, left_out, values) if self.names else self._texts(part, left_out)
        corpus, standard = Corpus.build(texts, self.vocabulary, folder), None
        if self.names:
            columns = np.concatenate([np.zeros((0, len(self.names))), *values]).T
            if not self.conditions:
                self.conditions = [Condition.of(*pair) for pair in zip(self.names, columns, strict=True)]
            pairs = zip(self.conditions, columns, strict=True)
            standard = np.stack([c.standardize(column) for c, column in pairs], axis=1).astype(np.float32)
        left_out.say(part, self.console)
        return corpus, standard

    def _texts(self, part: str, left_out: LeftOut | None = None) -> Iterator[str]:
        return (text for text, *_ in self._rows(part, left_out))

    def _measured(self, part: str, left_out: LeftOut, values: list[np.ndarray]) -> Iterator[str]:
        """Yield texts whose values are known; the values [rows, C] of each chunk go into the list."""
        for rows in in_chunks(self._rows(part, left_out)):
            texts, table = measured(rows, self.names, left_out)
            values.append(table)
            yield from texts

    def state(self) -> dict[str, Any]:
        """Return what rebuilds the model beside its configuration."""
        return {
            "task": "language",
            "vocabulary": self.vocabulary.state(),
            "conditions": [vars(condition) for condition in self.conditions],
            "longest": self.longest,
        }

    def report(self, folder: Path) -> dict[str, Any]:
        """Sample from the best weights, judges the samples and draws them."""
        self._keep_reference(folder)
        device = next(self.task.parameters()).device
        self.task.eval()
        with torch.no_grad():
            metrics = self.task.evaluate(batch.to(device) for batch in self.val.epoch(0))
        generator = Generator(self.decoder, self.vocabulary, tuple(self.conditions), self.longest, folder)
        results = {"score": metrics[self.task.monitor], **self.task.judged_by, "validation": metrics}
        results["generation"] = judge(generator, self.samples, self.seed, self.console)
        (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        return results

    def _keep_reference(self, folder: Path) -> None:
        """Write what ``molgraph generate`` compares with: keys of all training molecules, and some held-out ones."""
        if not (folder / "known.npy").exists():
            self.console.print("reading the training molecules again, to tell what is novel", highlight=False)
            parts = [keys_of(canonical_of(texts)) for texts in in_chunks(self._texts("train"))]
            np.save(folder / "known.npy", np.unique(np.concatenate(parts)))
        reference = canonical_of(list(itertools.islice(self._texts("test"), REFERENCE)))
        (folder / "reference.smi").write_text("".join(f"{text}\n" for text in reference))


def canonical_of(texts: Sequence[str]) -> list[str]:
    """Return the canonical SMILES of those that are molecules."""
    return [canonical for canonical, _ in canonicalize_all(texts, workers=None) if canonical]


def measured(
    rows: list[tuple[str, ...]], names: Sequence[str], left_out: LeftOut | None = None
) -> tuple[list[str], np.ndarray]:
    """Return texts and their values [rows, C], computed or read from columns; rows without a value are left out."""
    left_out = left_out or LeftOut()
    columns = [name for name in names if name not in PROPERTIES]
    computed = [name for name in names if name in PROPERTIES]
    good = []
    for row, (canonical, reason) in zip(rows, canonicalize_all([row[0] for row in rows], workers=None), strict=True):
        good.append(bool(canonical))
        if reason:
            left_out.add(f"not a SMILES ({reason})", row[0])
    rows = [row for row, keep in zip(rows, good, strict=True) if keep]
    texts = [row[0] for row in rows]
    values = dict(zip(computed, properties(texts, computed, workers=None).T, strict=True)) if computed else {}
    for place, name in enumerate(columns, start=1):
        values[name] = np.array([_number(row[place]) for row in rows])
    table = np.stack([values[name] for name in names], axis=1)
    complete = np.isfinite(table).all(1)
    for text, keep in zip(texts, complete.tolist(), strict=True):
        if not keep:
            left_out.add(f"without a number in {', '.join(names)}", text)
    return [text for text, keep in zip(texts, complete, strict=True) if keep], table[complete]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")

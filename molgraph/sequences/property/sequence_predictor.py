"""Property prediction from strings: one value a molecule, or one an atom.

SMILES -> tokens (randomized anew each epoch) -> encoder -> pooling -> head -> [B, outputs]
"""

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Self

import torch
from rich.console import Console
from torch import Tensor, nn

from molgraph.molecules.models import Explanation, Predictor
from molgraph.molecules.reading import Standardization, canonicalize
from molgraph.sequences.layers.architecture import make_encoder, make_shape
from molgraph.sequences.layers.pooling import Pooling
from molgraph.sequences.layers.rnn import RecurrentEncoder, gradients_back
from molgraph.sequences.property.attribution import explain_sequence
from molgraph.sequences.property.texts import (
    AtomTokens,
    EncodedSmiles,
    Reading,
    SmilesBatch,
    SmilesFeaturizer,
    build_vocabulary,
)
from molgraph.sequences.text.tokenizer import Vocabulary


class SequencePredictor(Predictor):
    """Reads a SMILES and predicts properties of the molecule.

    Args:
        vocabulary: tokens of the training part.
        outputs: values a molecule.
        shape: node of ``make_shape``: a recurrent encoder when it names a cell, else a Transformer.
        pooling: ``last``, ``mean``, ``max``, ``attention`` or ``pma``.
        reading: how a SMILES becomes tokens.
        standardization: what is done to a molecule before it is read.
    """

    reads_tokens = True

    def __init__(
        self,
        vocabulary: Vocabulary,
        outputs: int,
        shape: dict[str, Any],
        pooling: str,
        reading: Reading,
        standardization: Standardization | None = None,
    ) -> None:
        super().__init__()
        self.standardization = standardization
        self.vocabulary, self.reading = vocabulary, reading
        self.shape, self.kind = dict(shape), pooling
        self.encoder = make_encoder(make_shape(self.shape), len(vocabulary), reading.longest)
        width = self.encoder.width
        self.pooling = Pooling(pooling, width)
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))

    @classmethod
    def build(  # type: ignore[override]  # its options, by name
        cls,
        smiles: Sequence[str],
        outputs: int,
        shape: dict[str, Any],
        pooling: str = "mean",
        standardization: Standardization | None = None,
        **reading: Any,
    ) -> Self:
        """Make a predictor whose vocabulary is that of the training part.

        Args:
            smiles: the training part.
            outputs: values a molecule.
            shape: see the class.
            pooling: see the class.
            standardization: what is done to a molecule before it is read.
            reading: the fields of ``Reading``; with ``randomize`` the vocabulary has the tokens of random writings too.

        Raises:
            ValueError: if a field is unknown.
        """
        known = [field.name for field in fields(Reading)]
        unknown = sorted(set(reading) - set(known))
        if unknown:
            raise ValueError(f"model does not take {', '.join(unknown)}; it takes shape, pooling, {', '.join(known)}")
        how = Reading(**reading)
        texts = [canonicalize(text, standardization) for text in smiles]
        return cls(build_vocabulary(texts, how), outputs, shape, pooling, how, standardization)

    def state(self) -> dict[str, Any]:
        """Return plain values that ``restore`` rebuilds the predictor from (without its weights)."""
        return {
            "vocabulary": self.vocabulary.state(),
            "shape": self.shape,
            "pooling": self.kind,
            "reading": asdict(self.reading),
        }

    @classmethod
    def restore(
        cls, state: dict[str, Any], outputs: int, standardization: Standardization | None = None, **_: Any
    ) -> Self:
        """Return the inverse of ``state``; other options of the configuration are in the state already."""
        vocabulary, reading = Vocabulary.restore(state["vocabulary"]), Reading(**state["reading"])
        return cls(vocabulary, outputs, state["shape"], state["pooling"], reading, standardization)

    def encode(
        self,
        smiles: Sequence[str],
        workers: int | None = None,
        console: Console | None = None,
        average: int | None = None,
    ) -> EncodedSmiles:
        """Return molecules to tokens; an unknown token becomes ``<unk>``, is counted and said.

        Args:
            smiles: valid SMILES.
            workers: not needed, reading is fast.
            console: where unknown tokens are told.
            average: in place of ``Reading.average``.

        Raises:
            ValueError: if a SMILES is longer than the model reads, or does not come back from its tokens as it was.
        """
        reading = self.reading if average is None else replace(self.reading, average=average)
        encoded, errors = SmilesFeaturizer(self.vocabulary, reading, self.standardization)(smiles)
        for row, reason in errors.items():
            raise ValueError(f"row {row}: {smiles[row]!r} cannot be read ({reason})")
        checked = self.vocabulary.check(encoded.smiles)
        if console is not None:
            console.print(f"tokens: {checked}", highlight=False, markup=False, soft_wrap=True)
        return encoded

    def featurizer(self) -> SmilesFeaturizer:
        """Return the function that reads any SMILES, for use in other processes."""
        return SmilesFeaturizer(self.vocabulary, self.reading, self.standardization)

    def explain(self, smiles: str, way: str, output: int) -> Explanation:
        """Return what the model looked at; see ``explain_sequence``."""
        return explain_sequence(self, smiles, way, output)

    def diagnose(self, batch: SmilesBatch) -> dict[str, float]:
        """Return how much of the gradient of the last state arrives at earlier ones; nothing for a Transformer."""
        if not isinstance(self.encoder, RecurrentEncoder):
            return {}
        return gradients_back(self.encoder, batch.groups[-1])

    def forward(self, batch: SmilesBatch) -> Tensor:
        """Return predictions [B, outputs], the mean over the copies of each molecule."""
        return self.copies(batch).mean(1)

    @property
    def averages(self) -> bool:
        """Whether a prediction is the mean over several writings of the molecule."""
        return self.reading.average > 1

    def fingerprint(self, batch: SmilesBatch) -> Tensor:
        """Return the pooled states of each molecule, the mean over its copies ``[B, D]``."""
        pooled = torch.cat([self.pooling(self.encoder(group)) for group in batch.groups])
        return pooled[batch.places].unflatten(0, (-1, batch.copies)).mean(1)

    def copies(self, batch: SmilesBatch) -> Tensor:
        """Return the prediction for each writing [B, copies, outputs]; their spread is an uncertainty."""
        pooled = torch.cat([self.pooling(self.encoder(group)) for group in batch.groups])
        return self.head(pooled[batch.places]).unflatten(0, (-1, batch.copies))


class AtomPredictor(SequencePredictor):
    """Predicts one row of values for each atom: the state of the token that writes it goes to the head."""

    def forward(self, batch: AtomTokens) -> Tensor:  # type: ignore[override]  # it reads where the atoms are, too
        """Return predictions [atoms, outputs], the atoms of all molecules in the order in which they are written."""
        return self.head(self.encoder(batch.source).states.flatten(0, 1)[batch.atoms])


@torch.no_grad()
def average_over_writings(
    predictor: SequencePredictor, smiles: Sequence[str], copies: int, batch_size: int = 64
) -> tuple[Tensor, Tensor]:
    """Return test-time averaging (Bjerrum 2017): predictions for many writings of each molecule.

    It helps a model that was trained on random writings, and harms one that was not.

    Returns:
        Mean [rows, outputs] and standard deviation over the writings [rows, outputs], an estimate of the uncertainty.
    """
    if copies < 2:
        raise ValueError(f"a spread needs at least 2 writings of a molecule, not {copies}")
    encoded = predictor.encode(smiles, average=copies)
    device = next(predictor.parameters()).device
    batches = [range(start, min(start + batch_size, len(smiles))) for start in range(0, len(smiles), batch_size)]
    values = torch.cat([predictor.copies(encoded.batch(rows).to(device)) for rows in batches])
    return values.mean(1), values.std(1)

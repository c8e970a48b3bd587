"""What a sequence model looked at: attention of the tokens, or gradient x embedding, carried over to the atoms.

model + SMILES -> a weight for each token -> Explanation (molecules.explain)
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from molgraph.molecules.models import (
    ATTENTION,
    Explanation,
    NoAttention,
    TokenMap,
    evaluating,
    gradient_times_input,
)
from molgraph.molecules.reading import parse
from molgraph.sequences.layers.pooling import Pooling
from molgraph.sequences.layers.transformer import TransformerEncoder
from molgraph.sequences.property.texts import EncodedSmiles, Reading, SmilesBatch
from molgraph.sequences.text.batch import Memory, TokenBatch
from molgraph.sequences.text.tokenizer import SPECIAL, atoms_of_tokens, split


class SequenceModel(Protocol):
    """What an explanation needs of a sequence predictor."""

    pooling: Pooling
    reading: Reading

    @property
    def encoder(self) -> nn.Module:
        """Tokens to ``Memory``."""
        ...

    def encode(self, smiles: list[str], *, average: int) -> EncodedSmiles:
        """Return molecules to tokens."""
        ...

    def __call__(self, batch: SmilesBatch) -> Tensor:
        """Return predictions [B, outputs]."""
        ...


def explain_sequence(model: SequenceModel, smiles: str, way: str, output: int) -> Explanation:
    """Explain a sequence model's prediction of one SMILES, read once, as its canonical SMILES.

    Args:
        model: the predictor.
        smiles: valid, and not longer than the model reads.
        way: ``attention`` or ``gradient``.
        output: column of the prediction, for the gradient.

    Raises:
        NoAttention: if the model has no attention weights.
    """
    encoded = model.encode([smiles], average=1)
    batch = encoded.batch([0]).to(next(model.encoder.parameters()).device)
    text, notation = encoded.smiles[0], model.reading.notation
    tokens = [SPECIAL[1], *split(text, notation), SPECIAL[2]]
    with evaluating(model):
        if way == ATTENTION:
            weights, maps, method = _attention(model, batch.groups[0])
        else:
            weights = _gradient(model, batch, output)
            maps, method = weights[None, None], "gradient x embedding of the tokens"
    places = np.array([-1, *_atoms(text, notation), -1])
    atoms = np.zeros(places.max() + 1)
    np.add.at(atoms, places[places >= 0], weights[places >= 0])
    rest = float(weights[places < 0].sum())
    return Explanation(parse(text), way, method, atoms, None, rest, TokenMap(tokens, maps))


def _atoms(text: str, notation: str) -> list[int]:
    """Return the atom that each token of a notation writes, -1 for none.

    Raises:
        ValueError: for SELFIES, whose tokens are not those of the molecule's SMILES.
    """
    if notation == "selfies":
        raise ValueError("SELFIES tokens write no atom of their own; train with model.notation=smiles to explain atoms")
    tokens = split(text, "smiles")
    atoms = atoms_of_tokens(tokens)
    if notation == "characters":
        return [atom for token, atom in zip(tokens, atoms, strict=True) for _ in token]
    return atoms


def _gradient(model: SequenceModel, batch: SmilesBatch, output: int) -> np.ndarray:
    """Return gradient x embedding of each token [T]."""
    kept: list[Tensor] = []
    embedding = next(module for module in model.encoder.modules() if isinstance(module, nn.Embedding))
    handle = embedding.register_forward_hook(lambda module, inputs, rows: kept.append(rows))
    try:
        predicted = model(batch)
    finally:
        handle.remove()
    return gradient_times_input(predicted[0, output], kept)[0][0].double().cpu().numpy()


def _attention(model: SequenceModel, source: TokenBatch) -> tuple[np.ndarray, np.ndarray, str]:
    """Return the weight of each token [T], the maps [L, T, T] (or [1, 1, T]), and how they came about."""
    with torch.no_grad():
        memory = model.encoder(source)
        pooled = _pooled(model, memory)
        if isinstance(model.encoder, TransformerEncoder) and model.encoder.has_weights:
            maps = model.encoder.attention_maps(source).mean(2)[:, 0]
            spread = torch.full(maps.shape[-1:], 1 / maps.shape[-1]) if pooled is None else pooled.cpu()
            weights = spread.double() @ rollout(maps.double().cpu())
            return weights.numpy(), maps.double().cpu().numpy(), "attention rollout"
    if pooled is None:
        raise NoAttention(
            "this model has no attention weights; use --by gradient, or train with model.pooling=attention"
        )
    alone = pooled.double().cpu().numpy()
    return alone, alone[None, None], "attention of the pooling"


def _pooled(model: SequenceModel, memory: Memory) -> Tensor | None:
    """Return the weight of each token in the pooling [T], None if it does not attend."""
    return model.pooling.weights(memory)[0] if model.pooling.attends else None


def rollout(maps: Tensor) -> Tensor:
    """Return how much of each input token arrives at each position (Abnar & Zuidema 2020, section 3.1).

    Args:
        maps: attention of each layer, heads averaged [L, T, T]; the residual passes the other half on.
    """
    arrived = torch.eye(maps.shape[-1], dtype=maps.dtype)
    for weights in maps:
        arrived = (weights + torch.eye(len(weights), dtype=maps.dtype)) / 2 @ arrived
    return arrived

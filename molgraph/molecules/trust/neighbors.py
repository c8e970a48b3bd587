"""The training molecules that are most like a molecule: ``SMILES -> Morgan bits -> Tanimoto similarity -> nearest``."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgraph.molecules.reading import InvalidSmiles, morgan_fingerprints

BITS = 2048
MOST = 50_000
"""Training molecules that are kept; of a larger set a random part, so that a checkpoint stays small."""
ROWS = 256
"""Molecules that are compared at a time."""


@dataclass(frozen=True)
class Neighbors:
    """The training molecules of a model, with what was measured of them."""

    smiles: list[str]
    """SMILES ``[N]``."""
    values: NDArray[np.float64]
    """Targets ``[N, T]``; NaN where nothing was measured."""
    bits: NDArray[np.uint8]
    """Morgan bits of radius 2, packed ``[N, BITS / 8]``."""

    @classmethod
    def of(cls, smiles: Sequence[str], values: NDArray[np.float64], seed: int = 0) -> Self:
        """Return the molecules of a training part."""
        chosen = np.arange(len(smiles))
        if len(smiles) > MOST:
            chosen = np.sort(np.random.default_rng(seed).permutation(len(smiles))[:MOST])
        texts = [smiles[int(row)] for row in chosen]
        return cls(texts, np.asarray(values, np.float64)[chosen], np.packbits(bits_of(texts), axis=1))

    @cached_property
    def _known(self) -> tuple[Tensor, Tensor]:
        """Bits of all molecules ``[N, BITS]`` and how many each has ``[N]``, unpacked once for all calls."""
        known = torch.from_numpy(np.unpackbits(self.bits, axis=1)).float()
        return known, known.sum(1)

    def nearest(self, smiles: Sequence[str], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the nearest training molecules of each valid SMILES and their Tanimoto similarity ``[M, count]``."""
        count = min(count, len(self.smiles))
        rows, shares = [], []
        known, sizes = self._known
        for start in range(0, len(smiles), ROWS):
            asked = torch.from_numpy(bits_of(smiles[start : start + ROWS])).float()
            both = asked @ known.T
            similarity = both / (asked.sum(1)[:, None] + sizes[None] - both).clamp(min=1)
            best = similarity.topk(count, dim=1)
            rows.append(best.indices.numpy())
            shares.append(best.values.numpy())
        if not rows:
            return np.zeros((0, count), np.int64), np.zeros((0, count), np.float32)
        return np.concatenate(rows), np.concatenate(shares)

    def state(self) -> dict[str, Any]:
        """Return tensors and texts for a checkpoint."""
        text = np.frombuffer("\n".join(self.smiles).encode(), np.uint8).copy()
        return {
            "smiles": torch.from_numpy(text),
            "values": torch.from_numpy(self.values),
            "bits": torch.from_numpy(self.bits),
        }

    @classmethod
    def restore(cls, state: dict[str, Tensor]) -> Self:
        """Return the inverse of :meth:`state`."""
        smiles = bytes(state["smiles"].numpy()).decode().split("\n")
        return cls(smiles, state["values"].numpy(), state["bits"].numpy())


def bits_of(smiles: Sequence[str]) -> NDArray[np.uint8]:
    """Return Morgan bits of radius 2 ``[M, BITS]``; a text that is no molecule has none."""
    found = np.zeros((len(smiles), BITS), np.uint8)
    for row, text in enumerate(smiles):
        try:
            found[row] = morgan_fingerprints([text], BITS)[0]
        except InvalidSmiles:
            continue
    return found

"""What language models and translators are trained for: the next token, padding left out.

batch -> logits [B, T, V], targets [B, T] -> mean negative log-likelihood of a real token
"""

from abc import abstractmethod
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional

from molgraph.sequences.text.tokenizer import PAD
from molgraph.training.task import Task


class LikelihoodTask(Task):
    """Mean negative log-likelihood of a token given those before it; padding has no part in it."""

    monitor, mode = "nats_per_token", "min"

    @abstractmethod
    def logits(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return logits of each next token [B, T, V] and the tokens that come next [B, T]."""

    @abstractmethod
    def targets(self, batch: Any) -> Tensor:
        """Return the tokens that come next [B, T]."""

    def terms(self, batch: Any) -> Tensor:
        """Return the number of real tokens to foretell."""
        return (self.targets(batch) != PAD).sum().float()

    def loss(self, batch: Any) -> Tensor:
        """Return nats per token of a batch; 0 for a batch of nothing but padding."""
        logits, targets = self.logits(batch)
        flat = targets.flatten()
        nats = functional.cross_entropy(logits.flatten(0, 1).float(), flat, ignore_index=PAD, reduction="sum")
        return nats / (flat != PAD).sum().clamp(min=1)


def token_sums(logits: Tensor, targets: Tensor) -> np.ndarray:
    """Return negative log-likelihood, tokens that are right, tokens and rows of a batch, summed [4]."""
    real = targets != PAD
    nats = functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=PAD, reduction="sum")
    right = ((logits.argmax(-1) == targets) & real).sum()
    return np.array([nats.item(), right.item(), real.sum().item(), len(targets)])

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

    def loss(self, batch: Any) -> Tensor:
        """Return nats per token of a batch."""
        logits, targets = self.logits(batch)
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=PAD)


def token_sums(logits: Tensor, targets: Tensor) -> np.ndarray:
    """Return negative log-likelihood, tokens that are right, tokens and rows of a batch, summed [4]."""
    real = targets != PAD
    nats = functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=PAD, reduction="sum")
    right = ((logits.argmax(-1) == targets) & real).sum()
    return np.array([nats.item(), right.item(), real.sum().item(), len(targets)])

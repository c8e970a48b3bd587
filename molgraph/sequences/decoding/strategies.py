"""How the next token is chosen: greedy, by chance, or by a beam.

log-probabilities [R, K, V] of R rows with K sequences each -> Strategy.choose -> parents and tokens [R, K]
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from molgraph.sequences.text.tokenizer import PAD


@dataclass
class Beams:
    """The sequences under way: R rows of K each."""

    tokens: Tensor
    """Tokens so far [R, K, t]."""
    log_probs: Tensor
    """Sum so far [R, K]."""
    lengths: Tensor
    """Tokens so far, ``<eos>`` included [R, K]."""
    finished: Tensor
    """``<eos>`` has come [R, K]."""


@dataclass(frozen=True)
class Choice:
    """How each sequence goes on."""

    parents: Tensor | None
    """Which sequence of the row it extends [R, K]; None: itself."""
    tokens: Tensor
    """The next token [R, K]."""


class Strategy(Protocol):
    """A way to choose."""

    @property
    def width(self) -> int:
        """K, sequences that a row has under way."""
        ...

    def choose(self, log_probs: Tensor, beams: Beams) -> Choice:
        """Make one from the log-probabilities of the next token [R, K, V]."""
        ...

    def rank(self, log_probs: Tensor, lengths: Tensor) -> Tensor:
        """Return the score of sequences, for the order of a row."""
        ...


@dataclass(frozen=True)
class Greedy:
    """The most probable token, always."""

    width: int = 1

    def choose(self, log_probs: Tensor, beams: Beams) -> Choice:
        """See ``Strategy.choose``."""
        return Choice(None, log_probs.argmax(-1))

    def rank(self, log_probs: Tensor, lengths: Tensor) -> Tensor:
        """See ``Strategy.rank``."""
        return log_probs


class Sampling:
    """A token at random from softmax(logits / temperature), after the unlikely ones are cut off.

    Args:
        temperature: 1 samples from the model, less is more cautious.
        top_k: keep the k most probable tokens; 0 keeps all.
        top_p: keep the most probable tokens that together reach p (Holtzman et al. 2020); 1 keeps all.
        seed: equal seeds give equal samples on one device and batch size.
        device: where the decoder is.
    """

    width = 1

    def __init__(
        self,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if not 0 < temperature < math.inf:
            raise ValueError(
                f"temperature is {temperature}; it has to be positive; a beam of 1 takes the most probable token always"
            )
        if not 0 < top_p <= 1 or top_k < 0:
            raise ValueError(f"top_p={top_p} has to lie in (0, 1] and top_k={top_k} must not be negative")
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.generator = torch.Generator(device).manual_seed(seed)

    def choose(self, log_probs: Tensor, beams: Beams) -> Choice:
        """See ``Strategy.choose``."""
        probabilities = self.filtered(log_probs)[:, 0]
        return Choice(None, torch.multinomial(probabilities, 1, generator=self.generator))

    def filtered(self, log_probs: Tensor) -> Tensor:
        """Return the probabilities that tokens are drawn with [R, K, V]; those cut off are 0."""
        scores = log_probs / self.temperature
        if self.top_k and self.top_k < scores.shape[-1]:
            least = scores.topk(self.top_k, dim=-1).values[..., -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        probabilities = scores.softmax(-1)
        if self.top_p < 1:
            ordered, order = probabilities.sort(dim=-1, descending=True)
            # The token that crosses p stays, so that one always does.
            ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= self.top_p, 0)
            probabilities = torch.zeros_like(probabilities).scatter(-1, order, ordered)
        return probabilities

    def rank(self, log_probs: Tensor, lengths: Tensor) -> Tensor:
        """See ``Strategy.rank``."""
        return log_probs


@dataclass(frozen=True)
class Beam:
    """The K best sequences by log-probability / length^penalty; finished ones stay and compete."""

    width: int = 5
    """K."""
    length_penalty: float = 1.0
    """0 compares sums, which favours short sequences; 1 compares means."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"a beam is at least 1 wide, not {self.width}")

    def choose(self, log_probs: Tensor, beams: Beams) -> Choice:
        """See ``Strategy.choose``."""
        width, vocabulary = log_probs.shape[1:]
        stay = torch.full_like(log_probs, -torch.inf)
        stay[..., PAD] = 0
        gains = torch.where(beams.finished.unsqueeze(-1), stay, log_probs)
        totals = beams.log_probs.unsqueeze(-1) + gains
        lengths = (beams.lengths + ~beams.finished).unsqueeze(-1)
        best = self.rank(totals, lengths).flatten(1).topk(width, dim=1).indices
        return Choice(best // vocabulary, best % vocabulary)

    def rank(self, log_probs: Tensor, lengths: Tensor) -> Tensor:
        """See ``Strategy.rank``."""
        return log_probs / lengths.clamp(min=1) ** self.length_penalty

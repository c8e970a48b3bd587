"""Decoding: one batched loop for every decoder and every way to choose the next token.

start -> [step -> log-probabilities -> strategy.choose -> extend, reorder, drop what is finished] -> Hypothesis

Greedy, sampling with temperature, top-k and top-p, and beam search are strategies; ``exhaustive`` is the oracle that a
wide beam has to equal.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from molgraph.sequences.decoding.strategies import Beams, Choice, Strategy
from molgraph.sequences.layers.decoder import Decoder, DecoderState
from molgraph.sequences.text.batch import Memory
from molgraph.sequences.text.tokenizer import BOS, EOS, PAD, UNK

CHECK_EVERY = 8
"""Steps between two looks at what is finished: a look waits for the device."""

T = TypeVar("T")


@dataclass(frozen=True)
class Hypothesis:
    """One decoded sequence."""

    tokens: list[int]
    """Token numbers after the prompt, without ``<bos>`` and ``<eos>``."""
    log_prob: float
    """Natural logarithm of the model's own probability of these tokens (and ``<eos>``), whatever the strategy."""
    finished: bool
    """Whether ``<eos>`` came within the limit."""
    score: float
    """What hypotheses of one row are ranked by."""


@torch.no_grad()
def decode(
    decoder: Decoder,
    strategy: Strategy,
    rows: int,
    limit: int,
    memory: Memory | None = None,
    condition: Tensor | None = None,
    prompt: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """Decode a batch.

    Args:
        decoder: in evaluation mode.
        strategy: how the next token is chosen.
        rows: R, sequences to decode.
        limit: tokens after the prompt at most, ``<eos>`` included.
        memory: of the sources, R rows.
        condition: asked-for values [R, C].
        prompt: tokens that each sequence begins with.

    Returns:
        For each row its hypotheses, the best first: K of a beam, else one.
    """
    device = next(decoder.parameters()).device
    width = strategy.width
    state = decoder.start(rows, limit + len(prompt) + 1, memory, condition)
    last = torch.full((rows,), BOS, device=device)
    for token in prompt:
        _, state = decoder.step(last, state)
        last = torch.full_like(last, token)
    if width > 1:
        spread = torch.arange(rows, device=device).repeat_interleave(width)
        state, last = state.select(spread), last[spread]
    beams = _first_beams(rows, width, device)
    return _loop(decoder, strategy, state, last, beams, limit)


def _first_beams(rows: int, width: int, device: torch.device) -> Beams:
    log_probs = torch.full((rows, width), -torch.inf, device=device)
    log_probs[:, 0] = 0  # the K sequences of a row start equal: only one of them may be extended
    return Beams(
        torch.empty(rows, width, 0, dtype=torch.long, device=device),
        log_probs,
        torch.zeros(rows, width, dtype=torch.long, device=device),
        torch.zeros(rows, width, dtype=torch.bool, device=device),
    )


def _loop(
    decoder: Decoder, strategy: Strategy, state: DecoderState, last: Tensor, beams: Beams, limit: int
) -> list[list[Hypothesis]]:
    results: list[list[Hypothesis]] = [[] for _ in range(len(beams.tokens))]
    waiting = torch.arange(len(results), device=last.device)
    for position in range(limit):
        logits, state = decoder.step(last, state)
        logits = logits.float()
        logits[:, [PAD, BOS, UNK]] = -torch.inf  # no text is written with them
        log_probs = logits.log_softmax(-1).unflatten(0, (-1, strategy.width))
        choice = strategy.choose(log_probs, beams)
        beams, last = _extend(beams, choice, log_probs)
        if choice.parents is not None:
            offsets = torch.arange(len(beams.tokens), device=last.device)[:, None] * strategy.width
            state = state.select((choice.parents + offsets).flatten())
        if position % CHECK_EVERY == CHECK_EVERY - 1 or position == limit - 1:
            done = beams.finished.all(1) | (position == limit - 1)
            _collect(results, waiting, beams, done, strategy)
            keep = (~done).nonzero().squeeze(1)
            if len(keep) == 0:
                break
            if len(keep) < len(done):
                rows = (keep[:, None] * strategy.width + torch.arange(strategy.width, device=last.device)).flatten()
                state, last, waiting = state.select(rows), last[rows], waiting[keep]
                beams = Beams(beams.tokens[keep], beams.log_probs[keep], beams.lengths[keep], beams.finished[keep])
    return results


def _extend(beams: Beams, choice: Choice, log_probs: Tensor) -> tuple[Beams, Tensor]:
    tokens, sums, lengths, finished = beams.tokens, beams.log_probs, beams.lengths, beams.finished
    if choice.parents is not None:
        parents = choice.parents
        tokens = tokens.gather(1, parents.unsqueeze(-1).expand_as(tokens))
        log_probs = log_probs.gather(1, parents.unsqueeze(-1).expand_as(log_probs))
        sums, lengths, finished = sums.gather(1, parents), lengths.gather(1, parents), finished.gather(1, parents)
    chosen = choice.tokens.masked_fill(finished, PAD)
    gain = log_probs.gather(-1, choice.tokens.unsqueeze(-1)).squeeze(-1).masked_fill(finished, 0)
    beams = Beams(
        torch.cat([tokens, chosen.unsqueeze(-1)], dim=-1), sums + gain, lengths + ~finished, finished | (chosen == EOS)
    )
    return beams, chosen.flatten()


def _collect(results: list[list[Hypothesis]], waiting: Tensor, beams: Beams, done: Tensor, strategy: Strategy) -> None:
    """Move the rows that are done to where they belong."""
    scores = strategy.rank(beams.log_probs, beams.lengths)
    columns = (waiting, beams.tokens, beams.log_probs, beams.finished, scores)
    for row, tokens, log_probs, finished, score in zip(*(column[done].tolist() for column in columns), strict=True):
        found = [
            Hypothesis([t for t in sequence if t not in (PAD, EOS)], log_prob, ended, value)
            for sequence, log_prob, ended, value in zip(tokens, log_probs, finished, score, strict=True)
            if log_prob > -torch.inf
        ]
        results[row] = sorted(found, key=lambda hypothesis: -hypothesis.score)


MOST = 100_000
"""Sequences that an exhaustive search looks at; more would take hours."""


def check_exhaustive(tokens: int, limit: int) -> None:
    """Refuse an exhaustive search that would not end.

    Args:
        tokens: V, the size of the vocabulary.
        limit: tokens at most, ``<eos>`` included.

    Raises:
        ValueError: more than ``MOST`` sequences.
    """
    letters = tokens - 4
    count = sum(letters ** (length - 1) for length in range(1, limit + 1)) + letters**limit
    if limit < 1 or count > MOST:
        raise ValueError(
            f"--exhaustive {limit}: {letters} tokens make {count:,} sequences and {MOST:,} can be searched; "
            "take fewer tokens, or --beam, which finds the most probable ones as well"
        )


@torch.no_grad()
def exhaustive(
    decoder: Decoder,
    limit: int,
    length_penalty: float = 1.0,
    memory: Memory | None = None,
    condition: Tensor | None = None,
) -> list[Hypothesis]:
    """Return every sequence of one row, the best first: V^limit of them, so for tiny vocabularies and limits only.

    Args:
        decoder: in evaluation mode.
        limit: tokens at most, ``<eos>`` included.
        length_penalty: as in ``Beam``.
        memory: of one source.
        condition: asked-for values [1, C].
    """
    device = next(decoder.parameters()).device
    vocabulary = decoder(torch.tensor([[BOS]], device=device), memory, condition).shape[-1]
    letters = [token for token in range(vocabulary) if token not in (PAD, BOS, UNK, EOS)]
    found = []
    for length in range(1, limit + 1):
        for text in itertools.product(letters, repeat=length - 1):
            found += [
                _scored(decoder, [*text, end], length_penalty, memory, condition)
                for end in _ends(letters, length, limit)
            ]
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def _ends(letters: list[int], length: int, limit: int) -> list[int]:
    return [EOS, *letters] if length == limit else [EOS]


def _scored(
    decoder: Decoder, tokens: list[int], length_penalty: float, memory: Memory | None, condition: Tensor | None
) -> Hypothesis:
    device = next(decoder.parameters()).device
    logits = decoder(torch.tensor([[BOS, *tokens[:-1]]], device=device), memory, condition)[0].float()
    logits[:, [PAD, BOS, UNK]] = -torch.inf
    log_prob = logits.log_softmax(-1)[torch.arange(len(tokens)), tokens].sum().item()
    ended = tokens[-1] == EOS
    return Hypothesis(tokens[:-1] if ended else tokens, log_prob, ended, log_prob / len(tokens) ** length_penalty)


def in_batches(run: Callable[[int, int], list[T]], rows: int, batch_size: int) -> list[T]:
    """Run over all rows in batches; a batch that does not fit into memory is halved and tried again.

    Args:
        run: makes the results of rows start..stop.
        rows: number of rows.
        batch_size: rows of a batch, as long as they fit.

    Raises:
        torch.OutOfMemoryError: if not even one row fits.
    """
    results: list[T] = []
    while len(results) < rows:
        start = len(results)
        try:
            results += run(start, min(start + batch_size, rows))
        except (torch.OutOfMemoryError, MemoryError):
            if batch_size == 1:
                raise
            batch_size = max(1, batch_size // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    return results

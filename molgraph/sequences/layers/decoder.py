"""A decoder says which token comes next; here its contract and its recurrent form.

tokens so far [B, T] (+ Memory of a source, + condition [B, C]) -> logits of the next token [B, T, V]

One contract serves language model (no memory), translator (memory) and conditional generator (condition):
``forward`` sees all tokens at once (teacher forcing), ``start`` and ``step`` go token by token, and both agree.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from molgraph.sequences.layers.attention import AdditiveScore, DotScore
from molgraph.sequences.layers.cells import Cell, State, make_cell
from molgraph.sequences.layers.rnn import RecurrentShape
from molgraph.sequences.text.batch import Memory
from molgraph.sequences.text.tokenizer import PAD


class DecoderState(Protocol):
    """What a decoder remembers between two steps."""

    def select(self, rows: Tensor) -> Self:
        """Return the state of some rows, in that order and repeated where asked [R]."""
        ...


class Decoder(nn.Module, ABC):
    """The contract of all decoders."""

    @abstractmethod
    def forward(self, tokens: Tensor, memory: Memory | None = None, condition: Tensor | None = None) -> Tensor:
        """Return tokens [B, T], the first of them ``<bos>``, to the logits of the token after each [B, T, V]."""

    @abstractmethod
    def start(
        self, rows: int, limit: int, memory: Memory | None = None, condition: Tensor | None = None
    ) -> DecoderState:
        """Return the state before ``<bos>``, for that many rows and at most ``limit`` steps."""

    @abstractmethod
    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return the next token of each row [B] to the logits of the one after it [B, V], and the new state."""

    @abstractmethod
    def attention(self, tokens: Tensor, memory: Memory, condition: Tensor | None = None) -> Tensor:
        """Return how much each token looked at each source position when it chose the next one [B, T, S].

        Raises:
            ValueError: if the decoder has no attention on the memory.
        """


class Conditioning(nn.Module):
    """A condition added to the vector of every token, so that a decoder need not remember it over many steps.

    Vinyals et al. 2015 ("Show and Tell") show the image once, before the first word; showing it at each step is ours.

    Args:
        condition: C, asked-for values; 0 for none.
        width: D.
    """

    def __init__(self, condition: int, width: int) -> None:
        super().__init__()
        self.size = condition
        self.project = (
            nn.Sequential(nn.Linear(condition, width), nn.Tanh(), nn.Linear(width, width)) if condition else None
        )

    def forward(self, condition: Tensor | None) -> Tensor | None:
        """Return condition [B, C] to [B, D].

        Raises:
            ValueError: if a condition is missing, or given to a model that was trained without.
        """
        if (condition is None) != (self.project is None) or (condition is not None and condition.shape[1] != self.size):
            got = "none" if condition is None else condition.shape[1]
            raise ValueError(f"the decoder was trained for {self.size or 'no'} conditions and got {got}")
        return None if self.project is None else self.project(condition)


@dataclass(frozen=True)
class RecurrentState:
    """See ``DecoderState``."""

    layers: tuple[State, ...]
    """The cell state of each layer."""
    extra: Tensor
    """What is added to each token's vector [B, D]."""
    memory: Memory | None
    """What attention looks at."""
    keys: Tensor | None
    """The memory as the score wants it."""
    fed: Tensor | None
    """With attention: what the last step saw and thought [B, D], read again by the next one."""

    def select(self, rows: Tensor) -> "RecurrentState":
        """See ``DecoderState``."""
        return RecurrentState(
            tuple(tuple(part[rows] for part in layer) for layer in self.layers),
            self.extra[rows],
            None if self.memory is None else self.memory.select(rows),
            None if self.keys is None else self.keys[rows],
            None if self.fed is None else self.fed[rows],
        )


class RecurrentDecoder(Decoder):
    """An RNN that writes, with or without attention on what an encoder read.

    Without attention the source's summary starts the state and is added to each token (Cho et al. 2014, eq. 7-8), and
    all steps run in one kernel. With it, each step also sees a weighted mean of the source states and hands what it saw
    to the next one: Luong et al. 2015, eq. 5 and section 3.3, with their dot score or with Bahdanau's additive one.

    ``bahdanau`` is the decoder of Bahdanau et al. 2015 (eq. 4-6): the state before a step asks, the context goes into
    the cell beside the token, ``s = f(s', y', c)``, and the next token is told from ``tanh(W [c, s, y'])``.

    Args:
        shape: cell, width, layers, dropout and attention.
        tokens: V, the size of the vocabulary.
        memory: width of the encoder's states; 0 for a language model.
        condition: number of asked-for values; 0 for none.
    """

    def __init__(self, shape: RecurrentShape, tokens: int, memory: int = 0, condition: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, shape.width, padding_idx=PAD)
        has_attention = memory > 0 and shape.attention != "none"
        self.asks_before = has_attention and shape.attention == "bahdanau"
        beside = memory if self.asks_before else shape.width * has_attention
        sizes = [shape.width + beside, *[shape.width] * (shape.layers - 1)]
        self.cells = nn.ModuleList(make_cell(shape.cell, size, shape.width) for size in sizes)
        self.condition = Conditioning(condition, shape.width)
        self.dropout = nn.Dropout(shape.dropout)
        self.out = nn.Linear(shape.width, tokens)
        self.parts = [cell.parts for cell in self.cells if isinstance(cell, Cell)]
        self.score = make_score(shape.attention, shape.width, memory) if memory else None
        seen = memory + shape.width * (1 + self.asks_before)
        self.combine = nn.Linear(seen, shape.width) if self.score is not None else None
        self.summary = nn.Linear(memory, shape.width) if memory and self.score is None else None
        self.first = nn.Linear(memory, shape.width * sum(self.parts)) if memory else None

    def forward(self, tokens: Tensor, memory: Memory | None = None, condition: Tensor | None = None) -> Tensor:
        """See ``Decoder.forward``."""
        state = self.start(len(tokens), tokens.shape[1], memory, condition)
        x = self.embedding(tokens) + state.extra.unsqueeze(1)
        if state.keys is not None:
            outputs, _ = self._read_with_attention(x, state)
            return self.out(self.dropout(outputs))
        for cell, before in zip(self.cells, state.layers, strict=True):
            x = cell(self.dropout(x), before)
        return self.out(self.dropout(x))

    def start(
        self, rows: int, limit: int, memory: Memory | None = None, condition: Tensor | None = None
    ) -> RecurrentState:
        """See ``Decoder.start``."""
        if (memory is None) != (self.first is None):
            raise ValueError("a translator needs a source, a language model takes none; see the task of the run")
        extra, keys, width = self.condition(condition), None, self.embedding.embedding_dim
        flat = self.out.weight.new_zeros(rows, width * sum(self.parts))
        if memory is not None and self.first is not None:
            if self.summary is not None:
                context = self.summary(memory.summary)
                extra = context if extra is None else extra + context
            flat = torch.tanh(self.first(memory.summary))
            if self.score is not None:
                keys = self.score.keys(memory.states)
                # In autocast the states would otherwise be cast, and the copy kept for the gradient, at every step.
                memory = replace(memory, states=memory.states.to(keys.dtype))
        extra = self.out.weight.new_zeros(rows, width) if extra is None else extra
        parts = iter(flat.split(width, dim=1))
        layers = tuple(tuple(next(parts) for _ in range(count)) for count in self.parts)
        feeds = keys is not None and not self.asks_before
        return RecurrentState(layers, extra, memory, keys, extra.new_zeros(rows, width) if feeds else None)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, RecurrentState]:
        """See ``Decoder.step``."""
        if not isinstance(state, RecurrentState):
            raise TypeError(f"a RecurrentDecoder goes on from its own state, not from {type(state).__name__}")
        output, state, _ = self._step(self.embedding(tokens) + state.extra, state)
        return self.out(self.dropout(output)), state

    def attention(self, tokens: Tensor, memory: Memory, condition: Tensor | None = None) -> Tensor:
        """See ``Decoder.attention``."""
        if self.score is None:
            raise ValueError("this decoder was trained with attention=none; there is nothing to draw")
        state = self.start(len(tokens), tokens.shape[1], memory, condition)
        return self._read_with_attention(self.embedding(tokens) + state.extra.unsqueeze(1), state)[1]

    def _read_with_attention(self, x: Tensor, state: RecurrentState) -> tuple[Tensor, Tensor]:
        """Return vectors of tokens [B, T, D] to outputs [B, T, D] and attention [B, T, S], step by step."""
        outputs, maps = [], []
        for token in x.unbind(1):
            output, state, weights = self._step(token, state)
            outputs.append(output)
            maps.append(weights)
        return torch.stack(outputs, dim=1), torch.stack(maps, dim=1)

    def _step(self, x: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState, Tensor]:
        """Return the vector of one token [B, D] to the output [B, D], the new state and the attention [B, S]."""
        if self.asks_before:
            return self._step_of_bahdanau(x, state)
        x, layers = x if state.fed is None else torch.cat([x, state.fed], dim=-1), []
        for cell, before in zip(self.cells, state.layers, strict=True):
            layers.append(cell.step(cell.project(self.dropout(x)), before))  # type: ignore[operator]
            x = layers[-1][0]
        weights = x.new_zeros(len(x), 0)
        if state.memory is not None and self.combine is not None:
            context, weights = self._look(x, state, state.memory)
            x = torch.tanh(self.combine(torch.cat([context, x], dim=-1)))
        return x, replace(state, layers=tuple(layers), fed=None if state.fed is None else x), weights

    def _look(self, query: Tensor, state: RecurrentState, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return what a query [B, D] finds in the memory [B, M], and its weights [B, S]."""
        scores = self.score(query.unsqueeze(1), state.keys).squeeze(1).float()  # type: ignore[misc]
        weights = scores.masked_fill(~memory.mask, -torch.inf).softmax(-1).to(query.dtype)
        return (weights.unsqueeze(1) @ memory.states).squeeze(1), weights

    def _step_of_bahdanau(self, token: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState, Tensor]:
        """As ``_step``, with the context of the state before."""
        if state.memory is None or self.combine is None:
            raise ValueError("attention=bahdanau needs a source; a language model has none")
        context, weights = self._look(state.layers[-1][0], state, state.memory)
        x, layers = torch.cat([token, context], dim=-1), []
        for cell, before in zip(self.cells, state.layers, strict=True):
            layers.append(cell.step(cell.project(self.dropout(x)), before))  # type: ignore[operator]
            x = layers[-1][0]
        x = torch.tanh(self.combine(torch.cat([context, x, token], dim=-1)))
        return x, replace(state, layers=tuple(layers)), weights


def make_score(name: str, query: int, memory: int) -> AdditiveScore | DotScore | None:
    """Return the score of that name: ``none``, ``additive``, ``dot`` or ``bahdanau``.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in ("none", "additive", "dot", "bahdanau"):
        raise ValueError(f"unknown attention {name!r}; a recurrent decoder has none, additive, dot or bahdanau")
    if name == "none":
        return None
    return DotScore(query, memory) if name == "dot" else AdditiveScore(query, memory)

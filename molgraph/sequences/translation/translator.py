"""A trained translator: which way it translates, its candidates, and what it looked at.

run folder -> Translator -> beam -> candidates of each source, attention map
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml
from torch import nn

from molgraph.molecules.reading import canonicalize_all, strip_atom_maps
from molgraph.sequences.decoding.decode import Hypothesis, check_exhaustive, decode, exhaustive, in_batches
from molgraph.sequences.decoding.strategies import Beam, Greedy, Sampling
from molgraph.sequences.evaluation.pictures import draw_attention
from molgraph.sequences.layers.architecture import Shape, decoder_shape, make_decoder
from molgraph.sequences.layers.decoder import Decoder
from molgraph.sequences.layers.rnn import RecurrentShape
from molgraph.sequences.text.batch import Memory
from molgraph.sequences.text.tokenizer import BOS, Vocabulary, split
from molgraph.sequences.translation.directions import Direction
from molgraph.sequences.translation.sources import Source, restore_source
from molgraph.training.checkpoint import load_checkpoint
from molgraph.training.config import require
from molgraph.training.hardware.precision import choose_device


@dataclass(frozen=True)
class Sampled:
    """Random candidates; see ``Sampling``."""

    count: int
    """Samples of each source; equal ones are one candidate."""
    temperature: float = 1.0
    """1 samples from the model."""
    top_k: int = 0
    """Keep the k most probable tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the most probable tokens that together reach p."""
    seed: int = 0
    """Of the samples."""


@dataclass(frozen=True)
class Exhaustive:
    """The best of all sequences: an oracle for tiny targets."""

    limit: int
    """Tokens at most, ``<eos>`` included."""
    count: int = 5
    """Candidates of each source."""


Search = int | Sampled | Exhaustive
"""How candidates are found; a number is the width of a beam, and 1 is greedy."""


@dataclass(frozen=True)
class Translator:
    """A trained encoder and decoder."""

    encoder: nn.Module
    """In evaluation mode."""
    decoder: Decoder
    """In evaluation mode."""
    source: Source
    """How a source is read."""
    target: Vocabulary
    """Of the targets."""
    direction: Direction
    """What is read and written."""
    longest: int
    """Tokens at most, of a target and of a source that is a text."""
    largest: int = 0
    """Tokens or atoms of the largest source of the training part; 0 if that is not known."""

    @classmethod
    def load(cls, run: Path, device: str = "auto") -> "Translator":
        """Load the best weights of a run.

        Raises:
            ValueError: if it is no run of a translator.
        """
        content = load_checkpoint(Path(run) / "best.pt")
        state, config = yaml.safe_load(content["state"]), yaml.safe_load(content["config"])
        if state.get("task") != "translate":
            raise ValueError(f"{run} is not a run of task=translate; only those translate")
        target, longest = Vocabulary.restore(state["target"]), state["longest"]
        source = restore_source(config["model"], state["source"], longest)
        encoder = source.make_encoder()
        decoder = make_target(decoder_shape(config["model"]), len(target), encoder, longest)
        pair = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
        pair.load_state_dict(content["task"])
        pair.to(choose_device(device)).eval()
        return cls(encoder, decoder, source, target, Direction.named(state["direction"]), longest, state["largest"])

    def translate(
        self, sources: Sequence[str], beam: Search = 5, batch_size: int = 64
    ) -> list[list[tuple[str, float]]]:
        """Return candidates of each source, the best first, with their log-probabilities.

        Args:
            sources: cleaned texts, see ``read_source``.
            beam: candidates; 1 is greedy; or how else they are found.
            batch_size: sources at a time; halved when memory runs out.

        Raises:
            ValueError: if a source cannot be read, or the beam is not at least 1.
        """
        choose = self._chooser(beam)
        for row, text in enumerate(sources):
            try:
                self.source.check(text)
            except ValueError as error:
                raise ValueError(f"row {row}: {error}") from error
        device = next(self.decoder.parameters()).device

        @torch.no_grad()
        def run(start: int, stop: int) -> list[list[Hypothesis]]:
            return choose(self.encoder(self.source.batch(sources[start:stop]).to(device)), stop - start)

        found = in_batches(run, len(sources), batch_size)
        return [[(self.target.decode(h.tokens), h.log_prob) for h in hypotheses] for hypotheses in found]

    def _chooser(self, search: Search) -> Callable[[Memory, int], list[list[Hypothesis]]]:
        """Return the function of a memory and its number of rows that finds candidates of each row."""
        longest = self.longest - 1
        if isinstance(search, Exhaustive):
            check_exhaustive(len(self.target), search.limit)

            def every(memory: Memory, rows: int) -> list[list[Hypothesis]]:
                ones = (memory.select(torch.tensor([row], device=memory.mask.device)) for row in range(rows))
                return [exhaustive(self.decoder, search.limit, memory=one)[: search.count] for one in ones]

            return every
        if isinstance(search, Sampled):
            require(search.count >= 1, "--sample", search.count, "at least 1")
            device = next(self.decoder.parameters()).device
            sampling = Sampling(search.temperature, search.top_k, search.top_p, search.seed, device)

            def draw(memory: Memory, rows: int) -> list[list[Hypothesis]]:
                spread = torch.arange(rows, device=device).repeat_interleave(search.count)
                found = decode(self.decoder, sampling, len(spread), longest, memory.select(spread))
                each = [found[row * search.count : (row + 1) * search.count] for row in range(rows)]
                distinct = ({tuple(h.tokens): h for (h,) in group}.values() for group in each)
                return [sorted(group, key=lambda h: -h.log_prob) for group in distinct]

            return draw
        strategy = Beam(search) if search != 1 else Greedy()
        return lambda memory, rows: decode(self.decoder, strategy, rows, longest, memory)

    def read_source(self, text: str) -> tuple[str, list[str]]:
        """Return a source in the form that the model learned from, and what is to be said about it.

        Raises:
            ValueError: if it is empty, too long or no molecule where one is needed.
        """
        text, notes = text.strip(), []
        if self.direction.reads_smiles and ":" in text:
            text, mapped = strip_atom_maps(text)
            notes = ["its atom maps were stripped"] if mapped else []
        notes += self.source.check(text)
        if self.direction.reads_smiles:
            reason = canonicalize_all([text])[0][1]
            notes += [f"it is not a SMILES ({reason}) and is read as a text"] if reason else []
        count = len(self.source.labels(text)[0])
        if 0 < self.largest < count:
            notes.append(f"it is larger than any source of the training part ({count} tokens or atoms, {self.largest})")
        return text, notes

    def attention(self, source: str, target: str) -> torch.Tensor:
        """Return how much each written token looked at each token or atom of the source [T, S].

        Raises:
            ValueError: if the decoder has no attention.
        """
        device = next(self.decoder.parameters()).device
        with torch.no_grad():
            memory = self.encoder(self.source.batch([source]).to(device))
            tokens = torch.tensor([[BOS, *self.target.encode(target)]], device=device)
            weights = self.decoder.attention(tokens, memory)[0]
        return weights[:-1, self.source.labels(source)[1]].float().cpu()


def make_target(shape: Shape, tokens: int, encoder: nn.Module, longest: int) -> Decoder:
    """Return the decoder behind an encoder, for so many tokens; a linear attention serves the encoder alone."""
    causal = shape if isinstance(shape, RecurrentShape) else replace(shape, attention="full")
    return make_decoder(causal, tokens, int(encoder.width), 0, longest)  # type: ignore[arg-type]


def draw_example(translator: Translator, source: str, path: Path) -> bool:
    """Draw what each token of the best translation looked at; False if the decoder has no attention to draw."""
    ((best, _), *_), *_ = translator.translate([source], 1)
    if not best:
        return False
    try:
        weights = translator.attention(source, best)
    except ValueError:
        return False
    ours, theirs = translator.source.labels(source)[0], split(best, translator.target.notation)
    if weights.shape != (len(theirs), len(ours)):
        return False  # a hydrogen atom on its own has a position and no token
    draw_attention(weights.numpy(), ours, theirs, path, translator.direction.name.replace("_", " "))
    return True
